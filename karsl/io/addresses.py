"""Check of addresses and lengths that come from outside: records, indexes of tars and of servers, tables of clips.

Compiled code reads memory by address. `row_offset` is the only rule by which it gets one; `karsl.datasets.batching.kernel`
compiles it into the batch pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from karsl.errors import CorruptRecordError

CLIP_DTYPES: dict[str, np.dtype] = {"float16": np.dtype("<f2"), "float32": np.dtype("<f4")}
"""Dtypes of clips that are read in place, by their names in records."""


class ClipLayout(NamedTuple):
    """Layout of a clip that is read in place.

    Attributes:
        dtype: float16 or float32.
        num_keypoints: V.
        raw: None for a canonical clip, else 3 or 4 values per point: x, y, z and optionally a score, which may be 0.
    """

    dtype: np.dtype
    num_keypoints: int
    raw: int | None = None

    @classmethod
    def parse(cls, record: Mapping[str, Any], num_keypoints: int, where: str) -> ClipLayout:
        """Check `dtype` and `raw` of a record.

        Raises:
            CorruptRecordError: If one of them is unknown.
        """
        name, raw = record.get("dtype"), record.get("raw")
        if not isinstance(name, str) or name not in CLIP_DTYPES or (raw is not None and not is_raw(raw)):
            raise CorruptRecordError(
                f"{where}: no clip of dtype {name!r} with raw={raw!r} can be read in place, expected float16 or float32 "
                "with 3 or 4 values per keypoint; index the file again"
            )
        return cls(CLIP_DTYPES[name], num_keypoints, raw)

    @property
    def frame_bytes(self) -> int:
        """Bytes per frame."""
        return self.num_keypoints * (self.raw or 4) * self.dtype.itemsize

    def view(self, stored: np.ndarray) -> np.ndarray:
        """Return the uint8 bytes of a clip as (T, V, 3 or 4), not copied."""
        return stored.view(self.dtype).reshape(-1, self.num_keypoints, self.raw or 4)


def is_raw(value: Any) -> bool:
    """Return True if a value is the number of values per keypoint of a raw clip."""
    return type(value) is int and value in (3, 4)


def row_offset(start: int, frames: int, step: int, frame_bytes: int, size: int) -> int:
    """Return the byte offset of a clip in a file, or -1 if it has no frames or is not completely inside.

    No intermediate value exceeds the range of the arguments, so it is right for numbers of 64 bits, too.

    Args:
        start: Position of the first frame, in units of `step` bytes.
        frames: Number of frames.
        step: Bytes per unit of `start`: 1, or the size of a frame.
        frame_bytes: Bytes per frame, at least 1.
        size: Bytes of the file.

    Example:
        >>> row_offset(2, 3, 10, 10, 50), row_offset(2, 4, 10, 10, 50), row_offset(5, 2**63, 10, 10, 50)
        (20, -1, -1)
    """
    if start < 0 or frames < 1 or frames > size // frame_bytes or start > (size - frames * frame_bytes) // step:
        return -1
    return start * step


def check_integers(where: str, **values: Any) -> tuple[int, ...]:
    """Return numbers that locate a clip, after a check of their type.

    Raises:
        CorruptRecordError: If one is missing or not an integer.
    """
    for name, value in values.items():
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
            raise CorruptRecordError(f"{where}: {name}={value!r} of a record is not an integer; index the file again")
    return tuple(values.values())
