"""The job that every way does: a clip in, 50 augmented frames out. Per clip, in numpy, as people write it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from karsl.skeletons import get_skeleton

CLIP_LEN = 50
NUM_KEYPOINTS = 184
CHANNELS = 4  # x, y, z, visibility
BATCH_SIZE = 64
FLIP_PROB = 0.5
ROTATION_DEG = (-15.0, 15.0)
SCALE = (0.85, 1.15)
SHIFT = (-0.1, 0.1)

ReadClip = Callable[[int], np.ndarray]


def sample_frames(clip: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Read one position in each of L equal segments, blending the two frames around it.

    Args:
        clip: (T, V, C).
        places: (L,), place inside each segment in [0, 1).

    Returns:
        float32 (L, V, C).

    Example:
        >>> clip = np.arange(4.0).reshape(4, 1, 1)
        >>> sample_frames(clip, np.array([0.5, 0.75])).ravel().tolist()
        [0.5, 3.0]
    """
    last = len(clip) - 1
    positions = np.clip((np.arange(len(places)) + places) * len(clip) / len(places) - 0.5, 0, last)
    first = positions.astype(np.int64)
    weight = (positions - first).astype(np.float32)[:, None, None]
    return clip[first] * (1 - weight) + clip[np.minimum(first + 1, last)] * weight


class EagerTask:
    """Sample, mirror, turn, scale and shift one clip.

    Args:
        seed: Of the draws; each worker process draws its own.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed, self.mirror = seed, get_skeleton("karsl_184").mirror
        self._rng: np.random.Generator | None = None

    def __call__(self, clip: np.ndarray) -> np.ndarray:
        """float32 (T, V, C) to float32 (CLIP_LEN, V, C)."""
        rng = self._rng = self._rng or self._generator()
        out = sample_frames(clip, rng.random(CLIP_LEN))
        if rng.random() < FLIP_PROB:
            out = out[:, self.mirror]
            out[..., 0] = 1 - out[..., 0]
        angle, scale = np.deg2rad(rng.uniform(*ROTATION_DEG)), rng.uniform(*SCALE)
        cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
        matrix = np.array([[cos, -sin], [sin, cos]], np.float32)
        shift = rng.uniform(*SHIFT, size=2).astype(np.float32)
        out[..., :2] = (out[..., :2] - np.float32(0.5)) @ matrix.T + (np.float32(0.5) + shift)
        out[..., 2] *= np.float32(scale)
        return np.ascontiguousarray(out, np.float32)

    def _generator(self) -> np.random.Generator:
        worker = get_worker_info()
        return np.random.default_rng([self.seed, worker.id + 1 if worker else 0])


class TaskDataset(Dataset):
    """Clips by number, through the job; the reader is opened in the process that reads.

    Args:
        open_reader: Gives a function from a clip's number to its array; pickles.
        count: Clips.
        seed: Of the job.
    """

    def __init__(self, open_reader: Callable[[], ReadClip], count: int, *, seed: int = 0) -> None:
        self.open_reader, self.count, self.job = open_reader, count, EagerTask(seed)
        self._read: ReadClip | None = None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, idx: int) -> np.ndarray:
        if self._read is None:
            self._read = self.open_reader()
        return self.job(self._read(idx))


class EndlessOrder(Sampler):
    """Every clip once in random order, then again in another, without end: no way pays for the end of an epoch."""

    def __init__(self, count: int, *, seed: int = 0) -> None:
        self.count, self.seed = count, seed

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng(self.seed)
        while True:
            yield from rng.permutation(self.count).tolist()


def plain_loader(dataset: Dataset, *, num_workers: int, start_method: str, **kwargs: object) -> DataLoader:
    """PyTorch's own loader as it comes; the start method is given only where there are workers."""
    if num_workers:
        kwargs |= {"multiprocessing_context": start_method, "persistent_workers": True}
    return DataLoader(dataset, num_workers=num_workers, **kwargs)  # type: ignore[arg-type]
