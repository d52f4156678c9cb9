"""HDF5: one contiguous block of all frames in one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.candidate import RandomAccessCandidate
from benchmarks.clips import Clips, read_offsets
from benchmarks.task import CHANNELS, NUM_KEYPOINTS, ReadClip


class Hdf5(RandomAccessCandidate):
    """Not chunked, since a chunk is read as a whole; opened in each process, since handles do not survive a fork."""

    name = "hdf5"
    libraries = ("h5py",)

    def write(self, clips: Clips, folder: Path) -> None:
        import h5py

        offsets = read_offsets(folder)
        with h5py.File(folder / "clips.h5", "w") as store:
            frames = store.create_dataset("frames", (offsets[-1], NUM_KEYPOINTS, CHANNELS), np.float32)
            for start, clip in zip(offsets, clips, strict=False):
                frames[start : start + len(clip)] = clip

    def open_reader(self, folder: Path) -> ReadClip:
        import h5py

        frames, offsets = h5py.File(folder / "clips.h5", "r")["frames"], read_offsets(folder)
        return lambda index: frames[offsets[index] : offsets[index + 1]]


CANDIDATE = Hdf5()
