"""Clips of one pipeline in a batch: the transforms that are deferred, the frames, the labels."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np

from karsl.datasets.batching.deferred import DeferredBatch
from karsl.datasets.batching.frames import FrameBlock
from karsl.datasets.batching.kernel import fill_canonical, in_threads
from karsl.datasets.batching.rng import GOLDEN, mix
from karsl.datasets.batching.simd import compiled
from karsl.datasets.index.record_list import RecordList
from karsl.datasets.rng import CounterRNG, fold_in
from karsl.datasets.transforms.base import KeypointTransform
from karsl.datasets.transforms.formatting import PackKeypointInputs
from karsl.datasets.transforms.loading import LoadKeypoints
from karsl.errors import AnnotationError
from karsl.io.addresses import CLIP_DTYPES, ClipLayout, is_raw
from karsl.io.array_layout import ArrayLayout
from karsl.io.pack_reader import WholePack
from karsl.io.reader import ClipReader
from karsl.skeletons import Skeleton

PackRows = Callable[[], "tuple[int, np.ndarray] | None"]

_FILE_COLUMNS = frozenset(("pack", "byte_start", "num_frames", "dtype"))
_TO_53_BITS = np.uint64(11)
_XYZ = 3  # coordinates of a stored point
_PACK_COLUMNS = frozenset(("pack", "frame_start", "num_frames"))


@dataclass(frozen=True)
class BatchPipeline:
    """A pipeline as loading, deferred transforms, and the others.

    Attributes:
        load: Reads clips.
        deferred: Transforms that are applied to N clips together.
        pack: The last transform, if all others are deferred.
        single: Transforms after the deferred ones that are applied to one clip at a time.
        then: Rest of the pipeline after these; None if there is none.
    """

    load: LoadKeypoints
    deferred: tuple[KeypointTransform, ...]
    pack: PackKeypointInputs | None
    single: tuple[Callable, ...] = ()
    then: BatchPipeline | None = None

    @classmethod
    def from_transforms(cls, transforms: Sequence[Callable]) -> BatchPipeline | None:
        """Divide the transforms; None if they do not begin with LoadKeypoints itself."""
        if not transforms or type(transforms[0]) is not LoadKeypoints or not _is_unmodified(transforms[0]):
            return None
        return cls._divide(transforms[0], tuple(transforms[1:]))

    @classmethod
    def _divide(cls, load: LoadKeypoints, steps: tuple[Callable, ...]) -> BatchPipeline:
        count, channels = 0, _XYZ
        while count < len(steps) and _is_deferred(steps[count], channels):
            channels = steps[count].output_channels(channels)  # type: ignore[attr-defined]
            count += 1
        deferred, others = steps[:count], steps[count:]
        if len(others) == 1 and _is_packing(others[0]):
            return cls(load, deferred, others[0])  # type: ignore[arg-type]  # the conditions are checked
        count = next((n for n, step in enumerate(others) if n and _continues(step, last=n == len(others) - 1)), len(others))
        rest = others[count:]
        return cls(load, deferred, None, others[:count], cls._divide(load, rest) if rest else None)  # type: ignore[arg-type]

    @property
    def steps(self) -> tuple[Callable, ...]:
        """All transforms after loading."""
        own = self.deferred + (() if self.pack is None else (self.pack,)) + self.single
        return own if self.then is None else own + self.then.steps

    @property
    def together(self) -> tuple[bool, ...]:
        """True for each of `steps` that is applied to N clips together."""
        own = (True,) * (len(self.deferred) + (self.pack is not None)) + (False,) * len(self.single)
        return own if self.then is None else own + self.then.together

    @property
    def packs_together(self) -> bool:
        """True if the last transform packs N clips together."""
        return self.pack is not None or (self.then is not None and self.then.packs_together)

    def defer(self, batch: DeferredBatch, rng_keys: np.ndarray) -> DeferredBatch:
        """Record every deferred transform; uint64 (N,) random keys of the samples."""
        for transform in self.deferred:
            params = transform.get_params(batch.meta, CompiledRNG(rng_keys, transform_id=transform.transform_id))
            transform.record(batch, params)
        return batch

    def segment(
        self,
        skeleton: Skeleton,
        records: RecordList | Sequence[dict],
        indices: np.ndarray,
        *,
        rng_keys: np.ndarray,
        rows: np.ndarray | None = None,
        layout: ArrayLayout | None = None,
    ) -> BatchSegment:
        """Find the frames and labels of some clips of a dataset.

        Args:
            skeleton: Skeleton of the stored clips.
            records: All records of the dataset.
            indices: int64 (N,), each in [0, n).
            rng_keys: uint64 (N,), random keys of the samples.
            rows: int64 (N,), rows of the batch.
            layout: Layout of array files, see `ClipReader.read`.

        Raises:
            KarslError, OSError: If a clip cannot be read.
        """
        reader, num_keypoints, pack_rows = self.load._reader, skeleton.num_keypoints, None
        stored = records if isinstance(records, RecordList) else None
        columns = frozenset(() if stored is None else stored.columns)
        if stored is not None and columns >= _FILE_COLUMNS and _has_one_layout(stored):
            frames = _mapped_frames(reader, stored, indices, num_keypoints)
        elif stored is not None and columns >= _PACK_COLUMNS:
            frames, pack_rows = _pack_frames(reader, stored, indices, num_keypoints)
        else:
            wanted = [records[index] for index in indices.tolist()]
            clips = reader.read_batch(wanted, num_keypoints, layout=layout, fill=fill_canonical, in_threads=in_threads)
            frames = FrameBlock.from_clips(clips)
        labels, read_fps = _labels(records, indices), partial(_rates, records, indices)
        return BatchSegment(self, frames, skeleton, rng_keys, labels, indices, rows, pack_rows, read_fps=read_fps)

    def same_as(self, other: BatchPipeline) -> bool:
        """Return True if `other` does the same to loaded clips, so that clips of both can be written in one pass."""
        if self is other:
            return True
        mine, theirs = self.steps, other.steps
        return len(mine) == len(theirs) and all(_same(a, b) for a, b in zip(mine, theirs, strict=True))


def _is_deferred(step: Callable, channels: int) -> bool:
    """Return True if a transform can follow transforms of N clips, whose points have a number of coordinates."""
    form = step.batched_form() if isinstance(step, KeypointTransform) else ""
    return form == "transform_batch" or (form == "defer" and channels == _XYZ)


def _is_packing(step: Callable) -> bool:
    return type(step) is PackKeypointInputs and _is_unmodified(step) and not step.meta_keys


def _continues(step: Callable, *, last: bool) -> bool:
    """Return True if clips that were transformed one by one are joined again for a transform."""
    return _is_deferred(step, _XYZ) or (last and _is_packing(step))


def _same(one: Callable, other: Callable) -> bool:
    return one is other or (isinstance(one, KeypointTransform) and one.same_as(other))


def _is_unmodified(transform: Callable) -> bool:
    """Return True if no method of the transform is replaced on the instance."""
    return vars(transform).keys() & vars(type(transform)).keys() <= {"transform_id"}


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
        results: Results of N clips that transforms changed one by one, in place of `frames`.
        read_fps: Returns float64 (N,), frames per second from the records, NaN where unknown.
    """

    pipeline: BatchPipeline
    frames: FrameBlock
    skeleton: Skeleton
    rng_keys: np.ndarray
    labels: np.ndarray | None
    sample_idx: np.ndarray
    rows: np.ndarray | None = None
    pack_rows: PackRows | None = None
    results: Sequence[dict] | None = None
    read_fps: Callable[[], np.ndarray] | None = None

    @cached_property
    def deferred(self) -> DeferredBatch:
        """The clips with every deferred transform recorded."""
        return self.record(self.pipeline)

    def record(self, pipeline: BatchPipeline) -> DeferredBatch:
        """Return the clips with the deferred transforms of a pipeline recorded."""
        if self.results is not None:
            return pipeline.defer(DeferredBatch.from_results(self.frames, self.results), self.rng_keys)
        uses_fps = self.read_fps is not None and any(step.uses_fps for step in pipeline.deferred)
        fps = self.read_fps() if uses_fps else None  # type: ignore[misc]  # it is not None
        return pipeline.defer(DeferredBatch(self.frames, self.skeleton, fps=fps), self.rng_keys)

    def __len__(self) -> int:
        return len(self.rng_keys)

    def joined(self, results: Sequence[dict]) -> BatchSegment | None:
        """Return the clips for the rest of the pipeline, after transforms of one clip at a time.

        Args:
            results: Results of the N clips.

        Returns:
            None if these cannot be transformed together.
        """
        then, first = self.pipeline.then, results[0]
        if then is None or not _can_join(results):
            return None
        own = zip(results, self.rng_keys, self.sample_idx.tolist(), strict=True)
        if any(clip.get("sample_key") != key or clip.get("sample_idx") != index for clip, key, index in own):
            return None
        values = [clip["label"] for clip in results if "label" in clip]
        is_wide = first["keypoint"].shape[2] != _XYZ and any(step.batched_form() == "defer" for step in then.deferred)
        if is_wide or len(values) not in (0, len(results)) or not all(isinstance(v, (int, np.integer)) for v in values):
            return None
        labels = np.array(values, np.int64) if values else None
        skeleton, keys, indices = first["skeleton"], self.rng_keys, self.sample_idx
        return BatchSegment(then, self.frames, skeleton, keys, labels, indices, self.rows, results=results)

    @property
    def channels(self) -> int:
        """C of the batch."""
        return self.deferred.channels + bool(self.pipeline.pack and self.pipeline.pack.with_score)

    def fill_value(self, default: float | None = None) -> float:
        """Return the coordinate of missing points: of FillMissing, else `default`, else of PackKeypointInputs."""
        if self.deferred.fill_value is not None:
            return self.deferred.fill_value
        if default is not None:
            return default
        return self.pipeline.pack.fill if self.pipeline.pack else 0.0

    @property
    def num_frames(self) -> np.ndarray:
        """int64 (N,), lengths of the clips in the batch."""
        return self.deferred.num_frames

    def shape(self, *, padded: bool = False) -> tuple[int, int, int] | None:
        """Return (T, V, C) of all clips; None if they differ, or if a transform needs one clip at a time.

        Args:
            padded: Clips may differ in length; T is that of the longest one.
        """
        if self.pipeline.pack is None:
            return None
        lengths = self.num_frames
        frames = int(lengths.max()) if padded else int(lengths[0])
        equal = padded or (lengths == frames).all()
        return (frames, self.deferred.skeleton.num_keypoints, self.channels) if equal else None


def _can_join(results: Sequence[Any]) -> bool:
    """Return True if the results of N clips, made one by one, can be transformed together from here on."""
    if not all(isinstance(clip, dict) and isinstance(clip.get("skeleton"), Skeleton) for clip in results):
        return False
    first = results[0]
    return all(_is_clip(clip) and _is_like(clip, first) for clip in results)


def _is_clip(clip: dict) -> bool:
    keypoint, score = clip.get("keypoint"), clip.get("keypoint_score")
    if not isinstance(keypoint, np.ndarray) or not isinstance(score, np.ndarray) or keypoint.ndim != 3 or not len(keypoint):
        return False
    return score.shape == keypoint.shape[:2] and score.shape[1] == clip["skeleton"].num_keypoints


def _is_like(clip: dict, first: dict) -> bool:
    same = clip["skeleton"] == first["skeleton"] and clip.get("centered", False) == first.get("centered", False)
    same = same and clip["keypoint"].shape[2] == first["keypoint"].shape[2]
    return same and ("frame_inds" in clip) == ("frame_inds" in first)


def join_segments(segments: Sequence[BatchSegment]) -> BatchSegment:
    """Join segments of one pipeline, skeleton and dtype, in the order of their rows; no frame is copied."""
    if len(segments) == 1:
        return segments[0]
    rows = np.concatenate([segment.rows for segment in segments])  # type: ignore[misc]  # all have rows
    order, first = np.argsort(rows), segments[0]

    def join(arrays: Iterable[np.ndarray]) -> np.ndarray:
        return np.concatenate(list(arrays))[order]

    frames = FrameBlock(
        join(segment.frames.addresses for segment in segments),
        join(segment.frames.lengths for segment in segments),
        first.frames.dtype,
        first.frames.num_keypoints,
        [segment.frames.memory for segment in segments],
        first.frames.raw,
    )
    labels = [segment.labels for segment in segments if segment.labels is not None]
    return BatchSegment(
        first.pipeline,
        frames,
        first.skeleton,
        rng_keys=join(segment.rng_keys for segment in segments),
        labels=join(labels) if len(labels) == len(segments) else None,
        sample_idx=join(segment.sample_idx for segment in segments),
        rows=rows[order],
        read_fps=lambda: join(segment.read_fps() for segment in segments if segment.read_fps is not None),
    )


def _pack_frames(
    reader: ClipReader, records: RecordList, indices: np.ndarray, num_keypoints: int
) -> tuple[FrameBlock, PackRows]:
    """Refer to clips that are rows of packs."""
    paths = records.categories("pack")
    starts, lengths, codes = (records.column(name)[indices] for name in ("frame_start", "num_frames", "pack"))
    used, which = np.unique(codes, return_inverse=True) if len(paths) > 1 else (np.zeros(1, np.int64), codes)
    shards = [reader.pack(paths[code], num_keypoints) for code in used.tolist()]
    frames = FrameBlock.from_rows([shard.frames for shard in shards], which, starts, lengths)
    for i, shard in enumerate(shards):
        own = slice(None) if len(shards) == 1 else which == i
        shard.verify(starts[own], lengths[own])
    return frames, partial(_find_in_pack, paths, codes, starts)


def _has_one_layout(records: RecordList) -> bool:
    """Return True if all clips in mapped files have one dtype, and either a checksum or one `raw`."""
    columns, dtypes = records.columns, records.categories("dtype")
    if "raw" in columns:
        raws = records.categories("raw")
        one_layout = len(raws) == 1 and is_raw(raws[0])
    else:
        one_layout = "xxh3" in columns
    return one_layout and len(dtypes) == 1 and dtypes[0] in CLIP_DTYPES


def _mapped_frames(reader: ClipReader, records: RecordList, indices: np.ndarray, num_keypoints: int) -> FrameBlock:
    """Refer to clips that are arrays inside mapped files, such as the members of a tar or the rows of an `.npy`."""
    codes, starts, lengths = (records.column(name)[indices] for name in ("pack", "byte_start", "num_frames"))
    raw = records.categories("raw")[0] if "raw" in records.columns else None
    checksums = None if raw else records.column("xxh3")[indices]
    layout = ClipLayout(CLIP_DTYPES[records.categories("dtype")[0]], num_keypoints, raw)
    used, which = np.unique(codes, return_inverse=True)
    paths = records.categories("pack")
    files = reader.map_files([paths[code] for code in used.tolist()])
    frames = FrameBlock.from_bytes({path: file.data for path, file in files.items()}, which, starts, lengths, layout)
    repaired = reader.verify_clips(files, which, starts, lengths, layout, checksums)
    return frames.with_clips(repaired) if repaired else frames


def _find_in_pack(paths: tuple[str, ...], which: np.ndarray, starts: np.ndarray) -> tuple[int, np.ndarray] | None:
    """Return the digest of the pack and the first rows of clips in it; None if the shards are of several packs."""
    folders, names = {os.path.dirname(path) for path in paths}, [os.path.basename(path) for path in paths]
    if len(folders) > 1:
        return None
    pack = _open_pack(folders.pop())
    return pack.digest, pack.rows(names, which, starts)


_open_pack = lru_cache(maxsize=8)(WholePack)


def _labels(records: RecordList | Sequence[dict], indices: np.ndarray) -> np.ndarray | None:
    if not isinstance(records, RecordList):
        labels = [records[index].get("label") for index in indices.tolist()]
        return None if None in labels else np.array(labels, np.int64)
    if "label" in records.columns:
        return records.column("label")[indices]
    reason = records.missing_reason("label")
    if not reason.startswith("record 0 lacks"):
        raise AnnotationError(f"labels cannot be batched: {reason}; give every record an integer label")
    return None


def _rates(records: RecordList | Sequence[dict], indices: np.ndarray) -> np.ndarray:
    """Return the frames per second of some records, float64 (N,), NaN where a record has none."""
    if isinstance(records, RecordList) and "fps" in records.columns:
        return records.column("fps")[indices]
    rates = [records[index].get("fps") for index in indices.tolist()]
    return np.array([np.nan if rate is None else rate for rate in rates], np.float64)


# ---- random numbers: those of `karsl.datasets.rng`, bit for bit, without an array per operation ----


@compiled
def _bits(keys, code, out):
    for n in range(keys.size):
        key = mix(keys[n] ^ code)
        for k in range(out.shape[1]):
            out[n, k] = mix(key + np.uint64(k) * GOLDEN)


@compiled
def _uniform(keys, code, low, high, out):
    for n in range(keys.size):
        key = mix(keys[n] ^ code)
        for k in range(out.shape[1]):
            unit = np.float64(mix(key + np.uint64(k) * GOLDEN) >> _TO_53_BITS) * 2.0**-53
            out[n, k] = low + (high - low) * unit


class CompiledRNG(CounterRNG):
    """Compiled counter-based random numbers for batches."""

    def bits(self, name: str, *shape: int) -> np.ndarray:
        """Return uint64 (N, *shape)."""
        out = np.empty((len(self), math.prod(shape)), np.uint64)
        _bits(self.keys, fold_in(self.transform_id, name), out)
        return out.reshape(len(self), *shape)

    def uniform(self, name: str, *shape: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """Return float64 (N, *shape) in [low, high)."""
        out = np.empty((len(self), math.prod(shape)))
        _uniform(self.keys, fold_in(self.transform_id, name), float(low), float(high), out)
        return out.reshape(len(self), *shape)
