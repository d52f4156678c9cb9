"""Addresses of the frames of N clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from karsl.datasets.batching.kernel import clip_addresses, copy_frames, copy_raw_frames
from karsl.datasets.batching.simd import LAYOUT_NDIM
from karsl.errors import CorruptRecordError, pluralize
from karsl.io.addresses import ClipLayout

_DTYPES = (np.dtype(np.float16), np.dtype(np.float32))


@dataclass(frozen=True)
class FrameBlock:
    """Clips given by the addresses of their first frames, in one array or in several.

    Attributes:
        addresses: int64 (N,).
        lengths: int64 (N,), at least 1.
        dtype: float16 or float32, of all clips.
        num_keypoints: V; a frame is (V, 4): x, y, z, score, zeros where missing.
        memory: Arrays that keep the addresses valid.
        raw: None, or 3 or 4 values per point that are not canonical: the score may be absent or 0.

    Example:
        >>> clips = FrameBlock.from_clips([np.zeros((2, 5, 4), np.float32), np.ones((3, 5, 4), np.float32)])
        >>> clips.lengths.tolist(), clips.copy(clips.first_rows + 1).mean((1, 2)).tolist()
        ([2, 3], [0.0, 1.0])
    """

    addresses: np.ndarray
    lengths: np.ndarray
    dtype: np.dtype
    num_keypoints: int
    memory: Any
    raw: int | None = None

    @classmethod
    def from_clips(cls, clips: Sequence[np.ndarray]) -> FrameBlock:
        """Refer to N arrays (T, V, 4), float16 or float32; none is copied if all have one dtype and are contiguous.

        Raises:
            CorruptRecordError: If there are no clips, or their shapes do not match.
        """
        frame_shapes = {clip.shape[1:] for clip in clips}
        valid = len(frame_shapes) == 1 and [*frame_shapes][0][1:] == (4,) and all(len(clip) for clip in clips)
        if not valid:
            raise CorruptRecordError(f"clips of shapes {sorted({c.shape for c in clips})}; expected (T, V, 4), one V, T > 0")
        dtypes = {clip.dtype for clip in clips}
        dtype = dtypes.pop() if len(dtypes) == 1 and dtypes <= set(_DTYPES) else np.dtype(np.float32)
        arrays = [np.ascontiguousarray(clip, dtype) for clip in clips]
        addresses = np.array([_address(clip) for clip in arrays], np.int64)
        return cls(addresses, np.array([len(clip) for clip in arrays], np.int64), dtype, arrays[0].shape[1], arrays)

    @classmethod
    def from_rows(
        cls, arrays: Sequence[np.ndarray], which: np.ndarray, starts: np.ndarray, lengths: np.ndarray
    ) -> FrameBlock:
        """Refer to ranges of rows of mapped arrays.

        Args:
            arrays: Arrays (F, V, 4) of one dtype and V.
            which: int (N,), array of each clip.
            starts, lengths: int64 (N,), rows of each clip.

        Raises:
            CorruptRecordError: If rows are outside their array, or the arrays differ in dtype or shape.
        """
        several, first = len(arrays) > 1, arrays[0]
        if (several and len({(a.dtype, *a.shape[1:]) for a in arrays}) > 1) or not all(a.flags.c_contiguous for a in arrays):
            layouts = sorted(f"{a.dtype} {a.shape[1:]}" for a in arrays)
            raise CorruptRecordError(f"shards of {layouts} in one batch; pack the corpus again")
        codes = which if several else np.zeros(1, np.int64)
        addresses, outside = _find_addresses(arrays, first.strides[0], first.strides[0], codes, starts, lengths)
        if outside >= 0:
            start, length, rows = int(starts[outside]), int(lengths[outside]), len(arrays[codes[outside] if several else 0])
            raise CorruptRecordError(
                f"no frames {start} to {start + length} in a shard of {rows}; is it the pack of this annotation file?"
            )
        return cls(addresses, lengths, first.dtype, first.shape[1], arrays)

    @classmethod
    def from_bytes(
        cls,
        files: Mapping[str, np.ndarray],
        which: np.ndarray,
        starts: np.ndarray,
        lengths: np.ndarray,
        layout: ClipLayout,
    ) -> FrameBlock:
        """Refer to clips that start at bytes of mapped files.

        Args:
            files: uint8 array of each file by its path.
            which: int (N,), number of the file of each clip.
            starts, lengths: int64 (N,), first byte and number of frames of each clip.
            layout: Layout of all clips.

        Raises:
            CorruptRecordError: If a clip is not inside its file.
        """
        maps = list(files.values())
        addresses, outside = _find_addresses(maps, 1, layout.frame_bytes, which, starts, lengths)
        if outside >= 0:
            path, mapped = list(files.items())[which[outside]]
            raise CorruptRecordError(
                f"{path}: no clip of {pluralize(lengths[outside], 'frame')} at byte "
                f"{starts[outside]}, the file has {len(mapped)} bytes; "
                "was it cut or replaced? Index it again"
            )
        return cls(addresses, lengths, layout.dtype, layout.num_keypoints, maps, layout.raw)

    def with_clips(self, clips: Mapping[int, np.ndarray]) -> FrameBlock:
        """Return the block with some clips, by number, replaced by contiguous arrays of their shape, dtype and layout."""
        addresses = self.addresses.copy()
        for number, clip in clips.items():
            addresses[number] = _address(clip)
        return replace(self, addresses=addresses, memory=[self.memory, *clips.values()])

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def dtype_key(self) -> np.ndarray:
        """Empty array of the dtype that compiled code reads, with the dimensions of the layout."""
        return np.empty((0,) * LAYOUT_NDIM[self.raw], np.uint16 if self.dtype == np.float16 else np.float32)

    @property
    def layout(self) -> tuple[np.dtype, int | None]:
        """Dtype and `raw`: clips with the same layout can be joined."""
        return self.dtype, self.raw

    @cached_property
    def first_rows(self) -> np.ndarray:
        """int64 (N,), first row of each clip if the distinct clips are stored one after the other."""
        return self._distinct[1]

    @cached_property
    def _distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the index of each distinct clip, and the first rows of all clips."""
        _, distinct, inverse = np.unique(self.addresses, return_index=True, return_inverse=True)
        ends = np.cumsum(self.lengths[distinct])
        return distinct, (ends - self.lengths[distinct])[inverse]

    def copy(self, rows: np.ndarray) -> np.ndarray:
        """Return stored frames as canonical ones (F, V, 4).

        Args:
            rows: int64 (F,), counted as in `first_rows`.
        """
        out = np.empty((len(rows), self.num_keypoints, 4), self.dtype)
        self.copy_to(out, rows)
        return out

    def copy_to(self, out: np.ndarray, rows: np.ndarray) -> None:
        """Copy stored frames into an array, see `copy`."""
        distinct, first_rows = self._distinct
        first = first_rows[distinct]
        clip = np.searchsorted(first, rows, side="right") - 1
        frame_bytes = self.num_keypoints * (self.raw or 4) * self.dtype.itemsize
        like, addresses = self.dtype_key, self.addresses[distinct][clip] + (rows - first[clip]) * frame_bytes
        if self.raw is None:
            copy_frames(like, addresses, out.view(like.dtype))
        else:
            one = np.ones(1, self.dtype).view(like.dtype)[0]
            copy_raw_frames(like, one, addresses, out.view(like.dtype))


def _find_addresses(
    arrays: Sequence[np.ndarray], step: int, frame_bytes: int, which: np.ndarray, starts: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, int]:
    """Return int64 (N,) addresses of clips in arrays, and the first clip that is not inside its array, or -1."""
    bases, sizes = np.array([_address(a) for a in arrays]), np.array([a.nbytes for a in arrays])
    addresses = np.empty(len(starts), np.int64)
    return addresses, clip_addresses(bases, sizes, step, frame_bytes, which, starts, lengths, addresses)


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]
