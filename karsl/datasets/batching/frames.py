"""Where the frames of N clips lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from karsl.datasets.fused.kernel import copy_frames, row_addresses
from karsl.errors import CorruptRecordError

_KINDS = (np.dtype(np.float16), np.dtype(np.float32))


@dataclass(frozen=True)
class Frames:
    """Clips given by the addresses of their first frames, in one file or in many.

    Attributes:
        addresses: int64 (N,).
        lengths: int64 (N,), at least 1.
        dtype: float16 or float32, of all.
        num_keypoints: V; a frame is (V, 4): x, y, z, score, zeros where missing.
        memory: What keeps the addresses valid.

    Example:
        >>> clips = Frames.of_clips([np.zeros((2, 5, 4), np.float32), np.ones((3, 5, 4), np.float32)])
        >>> clips.lengths.tolist(), clips.copy(clips.first_rows + 1).mean((1, 2)).tolist()
        ([2, 3], [0.0, 1.0])
    """

    addresses: np.ndarray
    lengths: np.ndarray
    dtype: np.dtype
    num_keypoints: int
    memory: Any

    @classmethod
    def of_clips(cls, clips: Sequence[np.ndarray]) -> Frames:
        """N arrays (T, V, 4), float16 or float32, mapped or not; none is copied if all are of one kind and contiguous.

        Raises:
            CorruptRecordError: No clips, or they differ in keypoints.
        """
        frame_shapes = {clip.shape[1:] for clip in clips}
        fits = len(frame_shapes) == 1 and [*frame_shapes][0][1:] == (4,) and all(len(clip) for clip in clips)
        if not fits:
            raise CorruptRecordError(f"clips of shapes {sorted({c.shape for c in clips})}; expected (T, V, 4), one V, T > 0")
        kinds = {clip.dtype for clip in clips}
        dtype = kinds.pop() if len(kinds) == 1 and kinds <= set(_KINDS) else np.dtype(np.float32)
        held = [np.ascontiguousarray(clip, dtype) for clip in clips]
        addresses = np.array([_address(clip) for clip in held], np.int64)
        return cls(addresses, np.array([len(c) for c in held], np.int64), dtype, held[0].shape[1], held)

    @classmethod
    def of_rows(cls, stores: Sequence[np.ndarray], which: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> Frames:
        """Runs of rows of mapped arrays.

        Args:
            stores: Arrays (F, V, 4) of one kind and V.
            which: int (N,), the store of each clip; starts, lengths: int64 (N,), its rows.

        Raises:
            CorruptRecordError: Rows outside a store, or the stores differ.
        """
        many, store = len(stores) > 1, stores[0]
        if (many and len({(s.dtype, *s.shape[1:]) for s in stores}) > 1) or not all(s.flags.c_contiguous for s in stores):
            kinds = sorted(f"{s.dtype} {s.shape[1:]}" for s in stores)
            raise CorruptRecordError(f"stores of {kinds} in one batch; pack the corpus again")
        sizes, first = [len(store) for store in stores], [_address(store) for store in stores]
        codes = which if many else np.zeros(1, np.int64)
        addresses = np.empty(len(starts), np.int64)
        strange = row_addresses(np.array(first), np.array(sizes), store.strides[0], codes, starts, lengths, addresses)
        if strange >= 0:
            start, stop = starts[strange], starts[strange] + lengths[strange]
            raise CorruptRecordError(
                f"no frames {start} to {stop} in a store of {sizes[which[strange] if many else 0]}; "
                "is it the pack of this annotation file?"
            )
        return cls(addresses, lengths, store.dtype, store.shape[1], stores)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def like(self) -> np.ndarray:
        """An array of the kind that compiled code reads."""
        return np.empty(0, np.uint16 if self.dtype == np.float16 else np.float32)

    @cached_property
    def first_rows(self) -> np.ndarray:
        """int64 (N,), where each clip begins if all lay one after the other; a clip that is there twice lies there once."""
        return self._one_by_one[1]

    @cached_property
    def _one_by_one(self) -> tuple[np.ndarray, np.ndarray]:
        """Each clip once, and where all begin."""
        _, once, of = np.unique(self.addresses, return_index=True, return_inverse=True)
        ends = np.cumsum(self.lengths[once])
        return once, (ends - self.lengths[once])[of]

    def copy(self, rows: np.ndarray) -> np.ndarray:
        """Some frames (F, V, 4), as they are stored.

        Args:
            rows: int64 (F,), counted as in `first_rows`.
        """
        out = np.empty((len(rows), self.num_keypoints, 4), self.dtype)
        self.copy_to(out, rows)
        return out

    def copy_to(self, out: np.ndarray, rows: np.ndarray) -> None:
        """The same, into an array."""
        once, first_rows = self._one_by_one
        first = first_rows[once]
        clip = np.searchsorted(first, rows, side="right") - 1
        frame_bytes = self.num_keypoints * 4 * self.dtype.itemsize
        like = self.like
        copy_frames(like, self.addresses[once][clip] + (rows - first[clip]) * frame_bytes, out.view(like.dtype))


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]
