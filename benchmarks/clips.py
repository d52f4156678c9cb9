"""Synthetic clips in KArSL's shape: as long, as smooth, as often without a hand, float16-exact like its copies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.task import CHANNELS, NUM_KEYPOINTS
from karsl.skeletons import get_skeleton

MIN_FRAMES, MEAN_FRAMES, MAX_FRAMES = 8, 38, 120
FRAMES_FILE, OFFSETS_FILE = "frames.bin", "offsets.npy"
_MISSING_HAND = 0.3  # share of clips in which a hand is not seen for a while


@dataclass(frozen=True)
class SyntheticClips:
    """Clips that are a function of (seed, number); nothing is kept.

    Args:
        count: Clips.
        seed: Of all of them.

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
        """int64 (N,), frames of each clip, 8 to 120, about 38 in the mean."""
        drawn = np.random.default_rng(self.seed).gamma(4.0, MEAN_FRAMES / 4.0, self.count)
        return np.clip(np.rint(drawn), MIN_FRAMES, MAX_FRAMES).astype(np.int64)

    def __getitem__(self, number: int) -> np.ndarray:
        """float32 (T, 184, 4): x, y, z, visibility; a hand that is not seen is zeros."""
        rng = np.random.default_rng([self.seed, number])
        frames = int(self.lengths[number])
        time = np.linspace(0, 2 * np.pi, frames, dtype=np.float32)[:, None]
        waves = np.sin(time * np.array([1, 2, 3], np.float32) + rng.random(3, np.float32) * 6)
        place = rng.random(NUM_KEYPOINTS * 3, np.float32) * np.float32(0.6) + np.float32(0.2)
        sway = rng.standard_normal((3, NUM_KEYPOINTS * 3), np.float32) * np.float32(0.03)
        noise = rng.standard_normal((frames, NUM_KEYPOINTS * 3), np.float32) * np.float32(0.002)
        clip = np.empty((frames, NUM_KEYPOINTS, CHANNELS), np.float32)
        clip[..., :3] = (place + waves @ sway + noise).reshape(frames, NUM_KEYPOINTS, 3)
        clip[..., 3] = rng.random(NUM_KEYPOINTS, np.float32) * np.float32(0.5) + np.float32(0.5)
        if rng.random() < _MISSING_HAND:
            hand = get_skeleton("karsl_184").groups["rh" if rng.random() < 0.5 else "lh"]
            start, stop = sorted(rng.integers(0, frames + 1, 2))
            clip[start:stop, hand] = 0
        return clip.astype(np.float16).astype(np.float32)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[number] for number in range(self.count))


class StoredClips:
    """Clips of a block of frames, mapped when first read; pickles as a path.

    Args:
        folder: As `write_block` wrote it.
        dtype: Of the block.
    """

    def __init__(self, folder: Path, dtype: str = "float32") -> None:
        self.folder, self.dtype = Path(folder), np.dtype(dtype)
        self.offsets = read_offsets(self.folder)
        self._frames: np.ndarray | None = None

    @property
    def frames(self) -> np.ndarray:
        """(all frames, V, C), mapped."""
        if self._frames is None:
            # ascontiguousarray would read it all; the view only drops np.memmap's slow indexing
            mapped = np.memmap(self.folder / FRAMES_FILE, self.dtype, "r", shape=(self.offsets[-1], NUM_KEYPOINTS, CHANNELS))
            self._frames = mapped.view(np.ndarray)
        return self._frames

    def __getstate__(self) -> dict:
        return {**vars(self), "_frames": None}

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, number: int) -> np.ndarray:
        """(T, V, C), a view of the map."""
        if number >= len(self):
            raise IndexError(number)
        return self.frames[self.offsets[number] : self.offsets[number + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[number] for number in range(len(self)))


Clips = SyntheticClips | StoredClips


def write_block(clips: Clips, folder: Path, *, dtype: str = "float32") -> None:
    """Write all frames one after the other, and where each clip starts; one clip is in memory at a time."""
    lengths = []
    with (folder / FRAMES_FILE).open("wb") as stream:
        for clip in clips:
            stream.write(np.ascontiguousarray(clip, dtype).data)
            lengths.append(len(clip))
    np.save(folder / OFFSETS_FILE, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def read_offsets(folder: Path) -> np.ndarray:
    """int64 (N + 1,), the frame at which each clip starts, and the end."""
    return np.load(Path(folder) / OFFSETS_FILE)
