"""Clips of one pipeline in a batch: where their frames are stored, their labels and their transforms."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import numpy as np

from karsl.datasets.batching.deferred import DeferredBatch
from karsl.datasets.batching.frames import FrameBlock
from karsl.datasets.batching.kernel import fill_canonical
from karsl.datasets.batching.pipeline import BatchPipeline
from karsl.datasets.index.record_list import RecordList
from karsl.datasets.transforms.loading import LoadKeypoints
from karsl.errors import AnnotationError
from karsl.io.pack_reader import WholePack
from karsl.skeletons import Skeleton

Column = Callable[[str], np.ndarray]
PackRows = Callable[[], "tuple[int, np.ndarray] | None"]

_FILE_COLUMNS = ("pack", "byte_start", "num_frames", "dtype", "xxh3")


@dataclass
class BatchSegment:
    """Clips of one pipeline in a batch.

    Attributes:
        pipeline: The divided pipeline.
        frames: N clips.
        skeleton: Skeleton of the frames.
        rng_keys: uint64 (N,), random keys of the samples.
        labels: int64 (N,), or None if the records have none.
        sample_idx: int64 (N,).
        rows: int64 (N,), their rows of the batch; None for all rows in order.
        pack_rows: Returns the digest of the entire pack and int64 (N,) first rows of the clips in it, or None.
    """

    pipeline: BatchPipeline
    frames: FrameBlock
    skeleton: Skeleton
    rng_keys: np.ndarray
    labels: np.ndarray | None
    sample_idx: np.ndarray
    rows: np.ndarray | None = None
    pack_rows: PackRows | None = None

    @classmethod
    def from_records(
        cls,
        pipeline: BatchPipeline,
        skeleton: Skeleton,
        records: RecordList | Sequence[dict],
        indices: np.ndarray,
        *,
        rng_keys: np.ndarray,
        rows: np.ndarray | None = None,
        column: Column | None = None,
    ) -> BatchSegment:
        """Find the frames and labels of some records, see `karsl.datasets.batching.batch.make_segment`."""
        load, pack_rows = pipeline.load, None
        if not isinstance(records, RecordList):
            frames, labels = _read_frames(load, records, indices, skeleton), _list_labels(records, indices)
        else:
            column = column or records.column
            if set(_FILE_COLUMNS) <= set(records.columns) and len(records.categories("dtype")) == 1:
                frames = _mapped_frames(load, records, column, indices, skeleton.num_keypoints)
            elif {"frame_start", "pack"} <= set(records.columns):
                frames, pack_rows = _pack_frames(load, records, column, indices, skeleton.num_keypoints)
            else:
                frames = _read_frames(load, records, indices, skeleton)
            labels = _column_labels(records, column, indices)
        return cls(pipeline, frames, skeleton, rng_keys, labels, indices, rows, pack_rows)

    @cached_property
    def deferred(self) -> DeferredBatch:
        """The clips with every deferred transform recorded."""
        return self.pipeline.defer(self.frames, self.skeleton, self.rng_keys)

    @property
    def channels(self) -> int:
        """C of the batch."""
        return 4 if self.pipeline.pack and self.pipeline.pack.with_score else 3

    def fill_value(self, default: float | None = None) -> float:
        """Return the coordinate of missing points: of FillMissing, else `default`, else of PackKeypointInputs."""
        if self.deferred.fill_value is not None:
            return self.deferred.fill_value
        if default is not None:
            return default
        return self.pipeline.pack.fill if self.pipeline.pack else 0.0

    def shape(self) -> tuple[int, int, int] | None:
        """Return (T, V, C) of all clips; None if they differ, or if a transform needs one clip at a time."""
        if self.pipeline.pack is None or self.pipeline.pack.meta_keys:
            return None
        lengths = self.deferred.num_frames
        equal = (lengths == lengths[0]).all()
        return (int(lengths[0]), self.deferred.skeleton.num_keypoints, self.channels) if equal else None


def join_segments(segments: Sequence[BatchSegment]) -> BatchSegment:
    """Join segments of one pipeline, skeleton and dtype, in the order of their rows; no frame is copied."""
    if len(segments) == 1:
        return segments[0]
    rows = np.concatenate([segment.rows for segment in segments])  # type: ignore[misc]  # all have rows
    order, first = np.argsort(rows), segments[0]
    frames = FrameBlock(
        np.concatenate([segment.frames.addresses for segment in segments])[order],
        np.concatenate([segment.frames.lengths for segment in segments])[order],
        first.frames.dtype,
        first.frames.num_keypoints,
        [segment.frames.memory for segment in segments],
    )
    labels = [segment.labels for segment in segments if segment.labels is not None]
    return BatchSegment(
        first.pipeline,
        frames,
        first.skeleton,
        np.concatenate([segment.rng_keys for segment in segments])[order],
        np.concatenate(labels)[order] if len(labels) == len(segments) else None,
        np.concatenate([segment.sample_idx for segment in segments])[order],
        rows[order],
    )


def _read_frames(load: LoadKeypoints, records: Sequence[dict], indices: np.ndarray, skeleton: Skeleton) -> FrameBlock:
    """Read clips one by one, from files of any kind."""
    with_skeleton = ({**records[index], "skeleton": skeleton} for index in indices.tolist())
    return FrameBlock.from_clips([load.read_clip(record, fill=fill_canonical) for record in with_skeleton])


def _pack_frames(
    load: LoadKeypoints, records: RecordList, column: Column, indices: np.ndarray, num_keypoints: int
) -> tuple[FrameBlock, PackRows]:
    """Refer to clips that are rows of packs."""
    paths = records.categories("pack")
    starts, lengths, codes = (column(name)[indices] for name in ("frame_start", "num_frames", "pack"))
    used, which = np.unique(codes, return_inverse=True) if len(paths) > 1 else (np.zeros(1, np.int64), codes)
    shards = [load.block(paths[code], num_keypoints) for code in used.tolist()]
    frames = FrameBlock.from_rows([shard.frames for shard in shards], which, starts, lengths)
    for i, shard in enumerate(shards):
        own = slice(None) if len(shards) == 1 else which == i
        shard.verify(starts[own], lengths[own])
    return frames, partial(_find_in_pack, paths, codes, starts)


def _mapped_frames(
    load: LoadKeypoints, records: RecordList, column: Column, indices: np.ndarray, num_keypoints: int
) -> FrameBlock:
    """Refer to clips that are arrays inside mapped files, such as the members of a tar."""
    codes, starts, lengths, _, checksums = (column(name)[indices] for name in _FILE_COLUMNS)
    dtype, paths = np.dtype(records.categories("dtype")[0]), records.categories("pack")
    nbytes = lengths * (num_keypoints * 4 * dtype.itemsize)
    addresses, memory = load.addresses(paths, codes, starts, nbytes, checksums)
    return FrameBlock(addresses, lengths, dtype, num_keypoints, memory)


def _find_in_pack(paths: tuple[str, ...], which: np.ndarray, starts: np.ndarray) -> tuple[int, np.ndarray] | None:
    """Return the digest of the pack and the first rows of clips in it; None if the shards are of several packs."""
    folders, names = {os.path.dirname(path) for path in paths}, [os.path.basename(path) for path in paths]
    if len(folders) > 1:
        return None
    pack = _open_pack(folders.pop())
    return pack.digest, pack.rows(names, which, starts)


_open_pack = lru_cache(maxsize=8)(WholePack)


def _list_labels(records: Sequence[dict], indices: np.ndarray) -> np.ndarray | None:
    labels = [records[index].get("label") for index in indices.tolist()]
    return None if None in labels else np.array(labels, np.int64)


def _column_labels(records: RecordList, column: Column, indices: np.ndarray) -> np.ndarray | None:
    if "label" in records.columns:
        return column("label")[indices]
    reason = records.missing_reason("label")
    if not reason.startswith("record 0 lacks"):
        raise AnnotationError(f"labels cannot be batched: {reason}; give every record an integer label")
    return None
