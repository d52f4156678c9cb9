"""Batches of the clips of one dataset or of several, made in one pass."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableSequence, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from karsl.datasets.batching.agreement import find_disagreement
from karsl.datasets.batching.kernel import clear_frames
from karsl.datasets.batching.segment import BatchPipeline, BatchSegment, join_segments
from karsl.datasets.transfer import allocate_shared
from karsl.errors import ConfigError, KarslError, TransformError, pluralize

__all__ = [
    "BatchPipeline",
    "BatchSegment",
    "LazyBatch",
    "allocate_batch",
    "find_disagreement",
    "join_segments",
    "join_singles",
    "make_batch",
    "write_batch",
    "write_segments",
]

CHECK = "KARSL_CHECK_BATCHES"
"""Environment variable: with 1, both forms of every transform are compared in each batch, which takes many times as long."""

Arrays = dict[str, np.ndarray]
Shape = tuple[int, int, int]  # T, V, C


class Pipeline(Protocol):
    """Pipeline of a dataset, as `karsl.datasets.pipeline.Pipeline`."""

    transforms: list

    def __call__(self, results: dict, first: int, stop: int | None = None) -> dict | None:
        """Apply some of the transforms to one clip."""

    def preserve_globals(self) -> AbstractContextManager:
        """Return a context after which the states of global generators are restored."""


class LazyBatch(MutableSequence):
    """N samples that are made together when they are first needed.

    `keypoint_collate` calls `collate()`: tensors that can be sent to the main process without a copy. Any other collate
    function sees a list of N samples; from then on these are the batch, since they may be edited.

    Args:
        length: N.
        make_segments: Returns the clips; None or an error of the data if samples must be made one by one, which names the
            clip, or skips it.
        make_samples: Returns the N samples.
    """

    def __init__(
        self,
        length: int,
        make_segments: Callable[[], Sequence[BatchSegment] | None],
        make_samples: Callable[[], Sequence[Any]],
    ) -> None:
        self._length, self._make_segments, self._make_samples = length, make_segments, make_samples

    def collate(self) -> dict[str, Any] | None:
        """Return the batch as tensors, or None if samples must be stacked one by one, such as samples already made."""
        found = self._find_segments()
        return None if found is None else write_batch(*found)

    def collate_padded(self, multiple: int) -> dict[str, Any] | None:
        """Return the batch as `collate` does, of clips of any length.

        Args:
            multiple: Zeros are written after the ends of clips, up to the longest one, rounded up to a multiple of this.
        """
        found = self._find_segments(multiple)
        return None if found is None else write_batch(*found, padded=True)

    def to_plan(self, *, resident: bool) -> dict[str, Any] | None:
        """Return the input of `KeypointDataPreprocessor`: a plan, and raw frames or their rows in the pack.

        Args:
            resident: Send rows only.

        Returns:
            The collated batch if frames are read twice, or clips of several pipelines meet; None if samples must be
            stacked one by one.

        Raises:
            ConfigError: If `resident` is True and the clips are not in one pack.
        """
        found = self._find_segments()
        if found is None:
            return None
        segments, _ = found
        if segments[0].results is not None:
            return write_batch(*found)
        pack = segments[0].pack_rows() if resident and len(segments) == 1 and segments[0].pack_rows else None
        if resident and pack is None:
            raise ConfigError("mode='resident' needs clips of a pack; make one with 'karsl pack'")
        if len(segments) > 1 or segments[0].deferred.materialized:
            return write_batch(*found)
        return _plan_batch(segments[0], pack)

    def _find_segments(self, multiple: int = 0) -> tuple[Sequence[BatchSegment], Shape] | None:
        """Return the segments and the shape of their batch; None if samples must be stacked one by one."""
        if "_samples" in self.__dict__:
            return None
        try:
            segments = self._make_segments()
            shape = _batch_shape(segments, multiple) if segments else None
        except (KarslError, OSError):
            return None
        return None if segments is None or shape is None else (segments, shape)

    def __repr__(self) -> str:
        return f"LazyBatch({pluralize(len(self), 'sample')}, made when it is collated or read)"

    def __len__(self) -> int:
        return len(self.__dict__.get("_samples", range(self._length)))

    def __getitem__(self, index: Any) -> Any:
        return self._samples[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._samples)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._samples[index] = value

    def __delitem__(self, index: Any) -> None:
        del self._samples[index]

    def insert(self, index: int, value: Any) -> None:
        """Insert a sample, as `list.insert`."""
        self._samples.insert(index, value)

    def sort(self, **options: Any) -> None:
        """Sort the samples, as `list.sort`."""
        self._samples.sort(**options)

    def copy(self) -> list[Any]:
        """Return the samples as a list."""
        return list(self._samples)

    def __add__(self, other: Iterable) -> list[Any]:
        return [*self._samples, *other]

    def __radd__(self, other: Iterable) -> list[Any]:
        return [*other, *self._samples]

    def __reduce__(self) -> tuple:
        return list, (list(self),)  # a worker whose collate function returns the samples

    @cached_property
    def _samples(self) -> list[Any]:
        return list(self._make_samples())


# ---- batches of one dataset ----


def make_batch(
    indices: np.ndarray,
    make_segment: Callable[[], BatchSegment],
    *,
    pipeline: Pipeline,
    initial_results: Callable[[int, np.uint64], dict],
    get_sample: Callable[[int], Any],
) -> LazyBatch:
    """Return the samples at some indices of a dataset as a batch to be made.

    Args:
        indices: int64 (N,), each in [0, n).
        make_segment: Returns the clips.
        pipeline: Pipeline of the dataset.
        initial_results: Returns the input of the pipeline at an index, with a random key.
        get_sample: Returns the sample at an index, made on its own.
    """

    made: list[_Clips] = []  # once, for the batch or for its samples

    def make_clips() -> _Clips:
        if not made:
            segment = make_segment()
            if os.environ.get(CHECK, "0") not in ("", "0") and (
                text := find_disagreement(segment, pipeline, initial_results)
            ):
                raise RuntimeError(text)
            made.append(join_singles(segment, pipeline, initial_results))
        return made[0]

    def make_segments() -> list[BatchSegment] | None:
        clips = make_clips()
        return [clips.segment] if clips.results is None else None

    def make_samples() -> list[Any]:
        try:
            clips = make_clips()
            results = clips.results or list(_results_of(clips.segment, initial_results))
        except (KarslError, OSError):
            return [get_sample(index) for index in indices.tolist()]
        return _finish(results, clips.position, indices, pipeline, get_sample)

    return LazyBatch(len(indices), make_segments, make_samples)


class _Clips(NamedTuple):
    """N clips, of which a part of the pipeline is done.

    Attributes:
        segment: The clips before deferred transforms.
        position: Number of the first transform after these.
        results: Results of each clip before that transform, None for a clip that failed; None if the segment is not used up.
    """

    segment: BatchSegment
    position: int
    results: list[dict | None] | None = None


def join_singles(segment: BatchSegment, pipeline: Pipeline, initial_results: Callable[[int, np.uint64], dict]) -> _Clips:
    """Apply transforms of one clip where they are followed by others, and join the clips again, up to the last ones."""
    while True:
        position = len(pipeline.transforms) - len(segment.pipeline.steps) + len(segment.pipeline.deferred)
        if segment.pipeline.then is None:
            return _Clips(segment, position)
        stop = position + len(segment.pipeline.single)
        with pipeline.preserve_globals():
            results = [_try(pipeline, clip, position, stop) for clip in _results_of(segment, initial_results)]
        joined = segment.joined(results) if all(clip is not None for clip in results) else None
        if joined is None:
            return _Clips(segment, stop, results)
        segment = joined


def _results_of(segment: BatchSegment, initial_results: Callable[[int, np.uint64], dict]) -> Iterator[dict]:
    """Yield the results of each clip after the deferred transforms."""
    batch = segment.deferred
    keypoint, score = batch.split()  # contiguous, as for a sample made alone: NumPy is slow on rows of three of four
    ends = np.concatenate([[0], np.cumsum(batch.num_frames)])
    for n, index in enumerate(segment.sample_idx.tolist()):
        frames, key = slice(ends[n], ends[n + 1]), segment.rng_keys[n]
        yield {
            **(initial_results(index, key) if segment.results is None else segment.results[n]),
            "sample_key": key,
            **batch.metadata(n),
            "keypoint": keypoint[frames],
            "keypoint_score": score[frames],
            "num_frames": int(ends[n + 1] - ends[n]),
        }


def _try(pipeline: Pipeline, clip: dict, position: int, stop: int | None = None) -> Any:
    """Apply transforms; None if one fails or returns None."""
    try:
        return pipeline(clip, position, stop)
    except TransformError:
        return None


def _finish(
    results: Sequence[dict | None],
    position: int,
    indices: np.ndarray,
    pipeline: Pipeline,
    get_sample: Callable[[int], Any],
) -> list[Any]:
    """Apply the transforms from number `position` on to each clip.

    If a transform fails or returns None, making the sample on its own raises the error again, or replaces the clip where
    allowed.
    """
    samples = []
    with pipeline.preserve_globals():
        for clip, index in zip(results, indices.tolist(), strict=True):
            sample = None if clip is None else _try(pipeline, clip, position)
            samples.append(get_sample(index) if sample is None else sample)
    return samples


# ---- memory of a batch ----


def write_batch(segments: Sequence[BatchSegment], shape: Shape, *, padded: bool = False) -> dict[str, Any]:
    """Write the clips of all segments into one batch.

    Args:
        segments: At least one; their `rows` together are the rows of the batch.
        shape: (T, V, C) of all clips.
        padded: Clips may be shorter than T: zeros are written after their ends.

    Returns:
        inputs (N, T, V, C), keypoint_mask (N, T, V), sample_idx, and label if every segment has it; num_frames (N,) with
        `padded`.
    """
    arrays, batch = allocate_batch(segments, shape, padded=padded)
    write_segments(segments, arrays)
    return batch


def _batch_shape(segments: Sequence[BatchSegment], multiple: int) -> Shape | None:
    """Return (T, V, C) of a batch, T rounded up to a multiple if that is not 0; None if clips differ in shape."""
    shapes: set[Any] = {segment.shape(padded=multiple > 0) for segment in segments}
    if multiple and None not in shapes:
        longest = max(frames for frames, _, _ in shapes)
        shapes = {(-(-longest // multiple) * multiple, points, channels) for _, points, channels in shapes}
    return shapes.pop() if len(shapes) == 1 else None


def allocate_batch(segments: Sequence[BatchSegment], shape: Shape, *, padded: bool = False) -> tuple[Arrays, dict[str, Any]]:
    """Allocate a batch of clips of shape (T, V, C), with label and sample_idx; return arrays to fill and the batch.

    Args:
        segments: Clips.
        shape: The same for all clips.
        padded: Clips may be shorter than T; their lengths are added as num_frames.
    """
    n, (frames, points, _) = sum(map(len, segments)), shape
    spec = {"inputs": ((n, *shape), np.float32), "keypoint_mask": ((n, frames, points), np.bool_)}
    return _allocate(segments, {"num_frames": _gather(segments, "num_frames")} if padded else {}, spec)


def write_segments(segments: Sequence[BatchSegment], arrays: Arrays) -> None:
    """Apply the deferred transforms of all segments, into the arrays of `allocate_batch`."""
    _, frames, points, channels = arrays["inputs"].shape
    inputs, mask = arrays["inputs"].reshape(-1, points, channels), arrays["keypoint_mask"].reshape(-1, points)
    for segment in segments:
        rows = (np.arange(len(segment)) if segment.rows is None else segment.rows) * frames
        segment.deferred.write(channels=channels, fill=segment.fill_value(), out=inputs, mask=mask, rows=rows)
    if "num_frames" in arrays:
        clear_frames(arrays["num_frames"], arrays["inputs"], arrays["keypoint_mask"])


def _plan_batch(segment: BatchSegment, pack: tuple[int, np.ndarray] | None) -> dict[str, Any]:
    frames = segment.frames
    plan = segment.deferred.plan(frames.first_rows if pack is None else pack[1])
    if pack is not None:
        batch = _allocate([segment], plan.arrays())[1]
    else:
        used, small = plan.used_frames()
        arrays, batch = _allocate([segment], small, {"frames": ((len(used), frames.num_keypoints, 4), frames.dtype)})
        frames.copy_to(arrays["frames"], used)
    batch["frame_plan"] = {  # plain numbers: read without waiting for a device
        "channels": segment.channels,
        "fill": segment.fill_value(),
        "missing_is_zero": plan.missing_is_zero,
        "pack": None if pack is None else pack[0],
    }
    return batch


def _allocate(segments: Sequence[BatchSegment], small: Arrays, spec: Mapping | None = None) -> tuple[Arrays, dict[str, Any]]:
    """Allocate a batch: entries of `spec` to be filled; `small` arrays, label and sample_idx copied."""
    small = dict(small)
    if all(segment.labels is not None for segment in segments):
        small["label"] = _gather(segments, "labels")
    small["sample_idx"] = _gather(segments, "sample_idx")
    dtypes = {k: v.dtype if v.dtype.kind in "fb" else np.int64 for k, v in small.items()}
    arrays, batch = allocate_shared({**(spec or {}), **{k: (v.shape, dtypes[k]) for k, v in small.items()}})
    for key, value in small.items():
        arrays[key][...] = value
    return arrays, batch


def _gather(segments: Sequence[BatchSegment], name: str) -> np.ndarray:
    if len(segments) == 1 and segments[0].rows is None:
        return getattr(segments[0], name)
    out = np.empty(sum(map(len, segments)), np.int64)
    for segment in segments:
        out[slice(None) if segment.rows is None else segment.rows] = getattr(segment, name)
    return out
