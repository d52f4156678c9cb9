"""The task of every candidate: a clip in, 50 augmented frames out, in numpy and clip by clip, as commonly written."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from karsl.skeletons import get_skeleton

CLIP_LEN = 50
NUM_KEYPOINTS = 184
CHANNELS = 4  # x, y, z, visibility
FLIP_PROB = 0.5
ROTATION_DEG = (-15.0, 15.0)
SCALE = (0.85, 1.15)
SHIFT = (-0.1, 0.1)

ReadClip = Callable[[int], np.ndarray]


def sample_frames(clip: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Sample one position in each of L equal segments, interpolating between the two frames around it.

    Args:
        clip: (T, V, C).
        fractions: (L,), position inside each segment, in [0, 1).

    Returns:
        float32 (L, V, C).

    Example:
        >>> clip = np.arange(4.0).reshape(4, 1, 1)
        >>> sample_frames(clip, np.array([0.5, 0.75])).ravel().tolist()
        [0.5, 3.0]
    """
    return interpolate(clip, (np.arange(len(fractions)) + fractions) * len(clip) / len(fractions) - 0.5)


def interpolate(clip: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return float32 (L, V, C), the frames of a clip (T, V, C) at positions (L,), those outside at the first or last."""
    last = len(clip) - 1
    positions = np.clip(positions, 0, last)
    first = positions.astype(np.int64)
    weight = (positions - first).astype(np.float32)[:, None, None]
    return clip[first] * (1 - weight) + clip[np.minimum(first + 1, last)] * weight


class EagerTask:
    """Sample, mirror, rotate, scale and shift one clip.

    Args:
        seed: Seed of the random numbers, which differ between worker processes.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed, self.mirror = seed, get_skeleton("karsl_184").mirror
        self._rng: np.random.Generator | None = None

    def __call__(self, clip: np.ndarray) -> np.ndarray:
        """Return float32 (CLIP_LEN, V, C) from float32 (T, V, C)."""
        return self.augment(sample_frames(clip, self.rng.random(CLIP_LEN)))

    def augment(self, out: np.ndarray) -> np.ndarray:
        """Mirror, rotate, scale and shift float32 (T, V, C), in place where possible."""
        rng = self.rng
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

    @property
    def rng(self) -> np.random.Generator:
        """Generator of this process."""
        if self._rng is None:
            worker = get_worker_info()
            self._rng = np.random.default_rng([self.seed, worker.id + 1 if worker else 0])
        return self._rng


class TaskDataset(Dataset):
    """Clips by index, after the task; the reader is opened in the process that reads.

    Args:
        open_reader: Picklable function that returns a function from the index of a clip to its array.
        count: Number of clips.
        seed: Seed of the task.
    """

    def __init__(self, open_reader: Callable[[], ReadClip], count: int, *, seed: int = 0) -> None:
        self.open_reader, self.count, self.task = open_reader, count, EagerTask(seed)
        self._read: ReadClip | None = None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, idx: int) -> np.ndarray:
        if self._read is None:
            self._read = self.open_reader()
        return self.task(self._read(idx))


class EndlessOrder(Sampler):
    """Random permutations of the clips, one after the other without end, so that no candidate waits between epochs."""

    def __init__(self, count: int, *, seed: int = 0) -> None:
        self.count, self.seed = count, seed

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng(self.seed)
        while True:
            yield from rng.permutation(self.count).tolist()


def plain_loader(dataset: Dataset, *, num_workers: int, start_method: str, **kwargs: object) -> DataLoader:
    """Return PyTorch's DataLoader; the start method is passed only if there are workers, as it requires."""
    if num_workers:
        kwargs |= {"multiprocessing_context": start_method, "persistent_workers": True}
    return DataLoader(dataset, num_workers=num_workers, **kwargs)  # type: ignore[arg-type]
