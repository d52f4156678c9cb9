"""Packs of records or arrays that a program has, in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from karsl.io.sources import FunctionSource
from karsl.skeletons import Skeleton
from karsl.storage.pack.writer import pack_clips
from karsl.storage.packed import shards_of


def pack_records(
    folder: str | Path,
    metainfo: dict,
    records: list[dict],
    read_clip: Callable[[dict], np.ndarray],
    *,
    skeleton: Skeleton,
    **options: Any,
) -> Path:
    """Write a pack of some records, in place of what `folder` held.

    Args:
        folder: Of the pack.
        metainfo: Of the annotation file.
        records: In the order they are to lie in; `num_frames` of each is right.
        read_clip: Gives the canonical clip of a record.
        skeleton: Of the clips.
        options: Of `pack_clips`.

    Returns:
        Path of the annotation file, to be given as `ann_file` with `data_root=folder`.
    """
    source = FunctionSource(metainfo, skeleton, records, read_clip)
    return pack_clips(source, folder, **{"mode": "replace", **options}).annotations


def write_pack(
    folder: str | Path, clips: Iterable[np.ndarray], lengths: np.ndarray, *, skeleton: Skeleton, dtype: str = "float16"
) -> Path:
    """Write clips that have no records to one shard, in place of what `folder` held.

    Args:
        folder: Made if absent.
        clips: Canonical clips, float32 (T, V, 4), one after the other.
        lengths: T of each.
        skeleton: Of the clips.
        dtype: See `pack_clips`.

    Returns:
        Path of the shard's frames.
    """
    given = iter(clips)
    records = [{"clip_id": str(n), "label": 0, "num_frames": int(t)} for n, t in enumerate(lengths)]
    metainfo = {"classes": ("clip",), "skeleton": skeleton.name}
    pack_records(folder, metainfo, records, lambda _: next(given), skeleton=skeleton, dtype=dtype, shard_bytes=0)
    return shards_of(folder)[-1]
