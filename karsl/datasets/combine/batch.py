"""A batch of clips from anywhere in a tree of datasets, made in one pass where that is possible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from karsl.datasets.batching.batch import LazyBatch, join_segments
from karsl.datasets.batching.pipeline import BatchPipeline
from karsl.datasets.batching.segment import BatchSegment
from karsl.datasets.combine.labels import SetLabels, relabelled_all
from karsl.datasets.combine.leaves import LeafClips

if TYPE_CHECKING:
    from karsl.datasets.combine.reading import Reader


def combined_batch(reader: Reader, places: np.ndarray, keys: np.ndarray) -> LazyBatch:
    """Samples at some places, made together when they are first asked for.

    Args:
        reader: Finds and reads clips.
        places: int64 (N,), of the outermost dataset.
        keys: uint64 (N,), random keys of the samples.
    """

    def parts() -> list[BatchSegment] | None:
        alike: dict[Any, list[BatchSegment]] = {}
        for clips in reader.clips(places):
            part = _part(reader, clips, places, keys)
            if part is None:
                return None
            kind = id(part.pipeline), part.skeleton, part.frames.dtype
            alike.setdefault(kind, []).append(part)
        return [join_segments(same) for same in alike.values()]

    def samples() -> list[Any]:
        return [reader.one(place, key) for place, key in zip(places.tolist(), keys, strict=True)]

    return LazyBatch(len(places), parts, samples)


def _part(reader: Reader, clips: LeafClips, places: np.ndarray, keys: np.ndarray) -> BatchSegment | None:
    """Clips of one dataset with the steps above it; labels and numbers are those of the outermost dataset."""
    steps = reader.fused_steps(clips) if hasattr(clips.dataset, "batch_part") else None
    part = None if steps is None else clips.dataset.batch_part(clips.places, keys=keys[clips.at], at=clips.at)
    if part is None:
        return None
    labels = None if part.labels is None else relabelled_all(part.labels, clips.steps)
    part.pipeline, part.labels, part.sample_idx = steps, labels, places[clips.at]  # before anything is worked out from them
    return part


def fused_steps(transforms: Sequence[Any]) -> BatchPipeline | None:
    """A pipeline that ends in a batch with nothing left to do one by one, or None."""
    steps = BatchPipeline.from_transforms([step for step in transforms if not isinstance(step, SetLabels)])
    return None if steps is None or steps.pack is None else steps
