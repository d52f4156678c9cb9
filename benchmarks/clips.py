"""Synthetic clips with KArSL's shape, lengths and missing hands, exact in float16."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.task import CHANNELS, NUM_KEYPOINTS
from karsl.skeletons import get_skeleton

MIN_FRAMES, MEAN_FRAMES, MAX_FRAMES = 8, 38, 120
FRAMES_FILE, OFFSETS_FILE = "frames.bin", "offsets.npy"
_MISSING_HAND = 0.3  # fraction of clips in which a hand is missing for some frames


@dataclass(frozen=True)
class SyntheticClips:
    """Clips that are a function of (seed, index), generated at each access.

    Args:
        count: Number of clips.
        seed: Seed of all clips.

    Example:
        >>> clips = SyntheticClips(3, seed=0)
        >>> len(clips), clips[1].shape[1:], clips[1].dtype.name, bool((clips[1] == clips[1]).all())
        (3, (184, 4), 'float32', True)
    """

    count: int
    seed: int = 0

    def __len__(self) -> int:
        return self.count

    @cached_property
    def lengths(self) -> np.ndarray:
        """Frames of each clip, int64 (N,), 8 to 120, 38 on average."""
        drawn = np.random.default_rng(self.seed).gamma(4.0, MEAN_FRAMES / 4.0, self.count)
        return np.clip(np.rint(drawn), MIN_FRAMES, MAX_FRAMES).astype(np.int64)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return float32 (T, 184, 4): x, y, z, visibility; a missing hand is zero."""
        rng = np.random.default_rng([self.seed, index])
        frames = int(self.lengths[index])
        time = np.linspace(0, 2 * np.pi, frames, dtype=np.float32)[:, None]
        waves = np.sin(time * np.array([1, 2, 3], np.float32) + rng.random(3, np.float32) * 6)
        center = rng.random(NUM_KEYPOINTS * 3, np.float32) * np.float32(0.6) + np.float32(0.2)
        sway = rng.standard_normal((3, NUM_KEYPOINTS * 3), np.float32) * np.float32(0.03)
        noise = rng.standard_normal((frames, NUM_KEYPOINTS * 3), np.float32) * np.float32(0.002)
        clip = np.empty((frames, NUM_KEYPOINTS, CHANNELS), np.float32)
        clip[..., :3] = (center + waves @ sway + noise).reshape(frames, NUM_KEYPOINTS, 3)
        clip[..., 3] = rng.random(NUM_KEYPOINTS, np.float32) * np.float32(0.5) + np.float32(0.5)
        if rng.random() < _MISSING_HAND:
            hand = get_skeleton("karsl_184").groups["rh" if rng.random() < 0.5 else "lh"]
            start, stop = sorted(rng.integers(0, frames + 1, 2))
            clip[start:stop, hand] = 0
        return clip.astype(np.float16).astype(np.float32)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(self.count))


class StoredClips:
    """Clips of a block of frames, memory-mapped at the first access; pickled as a path.

    Args:
        folder: Folder written by `write_block`.
        dtype: Data type of the block.
    """

    def __init__(self, folder: Path, dtype: str = "float32") -> None:
        self.folder, self.dtype = Path(folder), np.dtype(dtype)
        self.offsets = read_offsets(self.folder)
        self._frames: np.ndarray | None = None

    @property
    def frames(self) -> np.ndarray:
        """Memory map of all frames, (F, V, C)."""
        if self._frames is None:
            # a view avoids the slow indexing of np.memmap without reading the file
            mapped = np.memmap(self.folder / FRAMES_FILE, self.dtype, "r", shape=(self.offsets[-1], NUM_KEYPOINTS, CHANNELS))
            self._frames = mapped.view(np.ndarray)
        return self._frames

    def __getstate__(self) -> dict:
        return {**vars(self), "_frames": None}

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        """Return (T, V, C), a view of the memory map."""
        if index >= len(self):
            raise IndexError(index)
        return self.frames[self.offsets[index] : self.offsets[index + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))


Clips = SyntheticClips | StoredClips


def write_block(clips: Clips, folder: Path, *, dtype: str = "float32") -> None:
    """Write all frames to one file and the offsets of the clips to another, with one clip in memory at a time."""
    lengths: list[int] = []
    with (folder / FRAMES_FILE).open("wb") as stream:
        for clip in clips:
            stream.write(np.ascontiguousarray(clip, dtype).data)
            lengths.append(len(clip))
    write_offsets(lengths, folder)


def write_offsets(lengths: Sequence[int], folder: Path) -> None:
    """Write the offsets of clips of some lengths, as `read_offsets` returns them."""
    np.save(folder / OFFSETS_FILE, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def read_offsets(folder: Path) -> np.ndarray:
    """Return the first frame of each clip and the number of frames, int64 (N + 1,)."""
    return np.load(Path(folder) / OFFSETS_FILE)
