"""Clips as the rows of a shard: encoded, checked and written where a plan says."""

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
from karsl.skeletons import Skeleton
from karsl.storage.half import to_half
from karsl.storage.packed import clip_checksum

KINDS: dict[str, np.dtype] = {"float16": np.dtype("<f2"), "float32": np.dtype("<f4")}
_CANNOT_RESERVE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


@dataclass(frozen=True)
class Encoded:
    """A clip as it lies in a shard.

    Attributes:
        frames: float16 or float32 (T, V, 4).
        presence: uint8 (T, G).
        checksum: Of both, see `clip_checksum`.
        rounding: Largest difference between a coordinate or score and what was given.
    """

    frames: np.ndarray
    presence: np.ndarray
    checksum: int
    rounding: float


@dataclass(frozen=True)
class Block:
    """Clips that are written at once.

    Attributes:
        frames, presence: Files to write to.
        frames_at, presence_at: Byte of the first row in each.
        records: Of the clips, one after the other; `num_frames` of each is right.
        skeleton: Of the clips.
        kind: `'float16'` or `'float32'`.
    """

    frames: Path
    presence: Path
    frames_at: int
    presence_at: int
    records: list[dict]
    skeleton: Skeleton
    kind: str

    def write(self, read: Callable[[dict], np.ndarray]) -> tuple[list[int], float]:
        """Read and write the clips.

        Returns:
            The checksum of each, and the largest rounding.

        Raises:
            CorruptRecordError: A clip is not what its record says.
            ConfigError: A value does not fit float16.
            OSError: The disk is full.
        """
        clips = [encode(read(r), r["num_frames"], self.skeleton, self.kind, called=r["clip_id"]) for r in self.records]
        _write_at(self.frames, self.frames_at, [clip.frames for clip in clips])
        _write_at(self.presence, self.presence_at, [clip.presence for clip in clips])
        return [clip.checksum for clip in clips], max(clip.rounding for clip in clips)


def encode(clip: np.ndarray, num_frames: int, skeleton: Skeleton, kind: str, *, called: str) -> Encoded:
    """A canonical clip, float (T, V, 4), as rows of a shard.

    Args:
        clip: x, y, z, score, four zeros where missing.
        num_frames: T that the index promises.
        skeleton: Of the clip.
        kind: `'float16'` halves the bytes and rounds a coordinate by up to 1/2048 of its size, `'float32'` keeps every bit.
        called: Names the clip in errors.

    Raises:
        CorruptRecordError: Another shape, or NaN.
        ConfigError: A value does not fit float16.
    """
    if clip.shape != (num_frames, skeleton.num_keypoints, 4):
        raise CorruptRecordError(
            f"clip {called!r} has shape {clip.shape}, its index says {(num_frames, skeleton.num_keypoints, 4)}; index again"
        )
    frames, rounding = (np.ascontiguousarray(clip, KINDS[kind]), 0.0) if kind == "float32" else _halved(clip, called)
    if not np.isfinite(frames.sum(dtype=np.float64)):
        raise CorruptRecordError(f"clip {called!r} has values that are NaN or infinite; a missing point is four zeros")
    presence = presence_of(frames, skeleton)
    return Encoded(frames, presence, clip_checksum(frames, presence), rounding)


def presence_of(clip: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """uint8 (T, G): 0 where no point of the group is there, 1 where all are, 2 where some are.

    Args:
        clip: (T, V, 4) with the score last.
    """
    seen = clip[..., 3] > 0
    parts = [seen[:, part] for part in skeleton.groups.values()]
    return np.stack([np.where(p.all(1), 1, np.where(p.any(1), 2, 0)) for p in parts], axis=1).astype(np.uint8)


def write_header(stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """The header of a `.npy` file."""
    npy.write_array_header_1_0(stream, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})


def _halved(clip: np.ndarray, called: str) -> tuple[np.ndarray, float]:
    if clip.dtype == np.float16:
        return np.ascontiguousarray(clip, KINDS["float16"]), 0.0
    half = to_half(clip, called=called, marked=True)
    return half, float(np.abs(half - clip).max())


def _write_at(path: Path, start: int, arrays: Iterable[np.ndarray]) -> None:
    with path.open("r+b") as stream:
        stream.seek(start)
        for array in arrays:
            stream.write(array.data)


def reserve(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Make a `.npy` file of zeros whose bytes the disk is sure to have; gives the byte at which the numbers start.

    Raises:
        OSError: The disk has no room for it.
    """
    with path.open("wb") as stream:
        write_header(stream, shape, dtype)
        start = stream.tell()
        size = start + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        stream.flush()
        _allocate(stream.fileno(), size)
    return start


def _allocate(fd: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(fd, 0, size)
            return
        except OSError as error:
            if error.errno not in _CANNOT_RESERVE:
                raise
    os.ftruncate(fd, size)
