"""A batch of clips from anywhere in a tree of datasets, made in one pass where that is possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from karsl.datasets.assembly import BatchPart, LazyBatch
from karsl.datasets.combine.labels import SetLabels
from karsl.datasets.combine.leaves import LeafClips
from karsl.datasets.fused.pipeline import BatchPipeline

if TYPE_CHECKING:
    from karsl.datasets.combine.reading import Reader


def combined_batch(reader: Reader, places: np.ndarray, keys: np.ndarray) -> LazyBatch:
    """Samples at some places, made together when they are first asked for.

    Args:
        reader: Finds and reads clips.
        places: int64 (N,), of the outermost dataset.
        keys: uint64 (N,), random keys of the samples.
    """

    def parts() -> list[BatchPart] | None:
        found = [_part(reader, clips, places, keys) for clips in reader.clips(places)]
        return None if None in found else found  # type: ignore[return-value]

    def samples() -> list[Any]:
        return [reader.one(place, key) for place, key in zip(places.tolist(), keys, strict=True)]

    return LazyBatch(len(places), parts, samples)


def _part(reader: Reader, clips: LeafClips, places: np.ndarray, keys: np.ndarray) -> BatchPart | None:
    """Clips of one dataset with the steps above it; labels and numbers are those of the outermost dataset."""
    steps = reader.fused_steps(clips) if hasattr(clips.dataset, "batch_part") else None
    part = None if steps is None else clips.dataset.batch_part(clips.places, keys=keys[clips.at], at=clips.at)
    if part is None:
        return None
    labels = part.labels
    for step in clips.steps:
        if isinstance(step, SetLabels) and labels is not None:
            labels = step.lookup[labels]
    return replace(part, steps=steps, labels=labels, sample_idx=places[clips.at])


def fused_steps(transforms: Sequence[Any]) -> BatchPipeline | None:
    """A pipeline that ends in a batch with nothing left to do one by one, or None."""
    steps = BatchPipeline.of([step for step in transforms if not isinstance(step, SetLabels)])
    return None if steps is None or steps.pack is None else steps
