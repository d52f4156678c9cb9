"""Clips as rows of a shard: encoded, checked and written at planned offsets."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from karsl.errors import CorruptRecordError
from karsl.io.clip import to_float16
from karsl.io.pack_reader import clip_checksum
from karsl.skeletons import Skeleton

DTYPES: dict[str, np.dtype] = {"float16": np.dtype("<f2"), "float32": np.dtype("<f4")}
_NO_FALLOCATE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


@dataclass(frozen=True)
class Encoded:
    """A clip as it is stored in a shard.

    Attributes:
        frames: float16 or float32 (T, V, 4).
        presence: uint8 (T, G).
        checksum: Checksum of both, see `clip_checksum`.
        rounding: Largest difference between a stored value and its source.
    """

    frames: np.ndarray
    presence: np.ndarray
    checksum: int
    rounding: float


@dataclass(frozen=True)
class Block:
    """Consecutive clips that one task reads and writes.

    Attributes:
        frames, presence: Files to write to.
        frames_offset, presence_offset: Offset of the first row in each.
        records: Records of the clips; `num_frames` of each is correct.
        skeleton, dtype: See `encode`.
    """

    frames: Path
    presence: Path
    frames_offset: int
    presence_offset: int
    records: list[dict]
    skeleton: Skeleton
    dtype: str

    def write(self, read: Callable[[dict], np.ndarray]) -> tuple[list[int], float]:
        """Read and write the clips.

        Returns:
            The checksum of each clip, and the largest rounding.

        Raises:
            CorruptRecordError: If a clip does not match its record.
            ConfigError: If a value exceeds float16.
            OSError: If the disk is full.
        """
        clips = [encode(read(r), r["num_frames"], self.skeleton, self.dtype, name=r["clip_id"]) for r in self.records]
        _write_at(self.frames, self.frames_offset, [clip.frames for clip in clips])
        _write_at(self.presence, self.presence_offset, [clip.presence for clip in clips])
        return [clip.checksum for clip in clips], max(clip.rounding for clip in clips)


def encode(clip: np.ndarray, num_frames: int, skeleton: Skeleton, dtype: str, *, name: str) -> Encoded:
    """Encode a canonical clip, float (T, V, 4), as rows of a shard.

    `'float16'` halves the size and rounds a value by up to 1/2048 of it, `'float32'` is exact.

    Raises:
        CorruptRecordError: If the shape differs or there are NaN values.
        ConfigError: If a value exceeds float16.
    """
    if clip.shape != (num_frames, skeleton.num_keypoints, 4):
        raise CorruptRecordError(
            f"clip {name!r} has shape {clip.shape}, its index {(num_frames, skeleton.num_keypoints, 4)}; index it again"
        )
    frames, rounding = (np.ascontiguousarray(clip, DTYPES[dtype]), 0.0) if dtype == "float32" else _encode_half(clip, name)
    if not np.isfinite(frames.sum(dtype=np.float64)):
        raise CorruptRecordError(f"clip {name!r} has values that are NaN or infinite; a missing point is four zeros")
    presence = presence_mask(frames, skeleton)
    return Encoded(frames, presence, clip_checksum(frames, presence), rounding)


def _encode_half(clip: np.ndarray, name: str) -> tuple[np.ndarray, float]:
    if clip.dtype == np.float16:
        return np.ascontiguousarray(clip, DTYPES["float16"]), 0.0
    half = to_float16(clip, name=name, has_mask=True)
    return half, float(np.abs(half - clip).max())


def presence_mask(clip: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Return uint8 (T, G) of a clip (T, V, 4): 0 if no keypoint of the group is present, 1 if all are, 2 if some are."""
    present = clip[..., 3] > 0
    groups = [present[:, group] for group in skeleton.groups.values()]
    return np.stack([np.where(g.all(1), 1, np.where(g.any(1), 2, 0)) for g in groups], axis=1).astype(np.uint8)


def write_header(stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Write the header of a `.npy` file."""
    npy.write_array_header_1_0(stream, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})


def allocate(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Create a `.npy` file of zeros with all its disk space; return the offset of the data.

    Raises:
        OSError: If the disk has not enough space.
    """
    with path.open("wb") as stream:
        write_header(stream, shape, dtype)
        start = stream.tell()
        size = start + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        stream.flush()
        _fallocate(stream.fileno(), size)
    return start


def _fallocate(fd: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(fd, 0, size)
            return
        except OSError as error:
            if error.errno not in _NO_FALLOCATE:
                raise
    os.ftruncate(fd, size)


def _write_at(path: Path, start: int, arrays: Iterable[np.ndarray]) -> None:
    with path.open("r+b") as stream:
        stream.seek(start)
        for array in arrays:
            stream.write(array.data)
