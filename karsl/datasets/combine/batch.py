"""A batch of clips from anywhere in a tree of datasets, made in one pass where that is possible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from karsl.datasets.combine.labels import SetLabels, relabelled_all
from karsl.datasets.combine.leaves import LeafClips
from karsl.datasets.fused.assembly import BatchPart, LazyBatch
from karsl.datasets.fused.frames import Frames
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
        alike: dict[Any, list[BatchPart]] = {}
        for clips in reader.clips(places):
            part = _part(reader, clips, places, keys)
            if part is None:
                return None
            kind = reader.steps_code(clips), part.skeleton, part.frames.dtype
            alike.setdefault(kind, []).append(part)
        return [joined(same) for same in alike.values()]

    def samples() -> list[Any]:
        return [reader.one(place, key) for place, key in zip(places.tolist(), keys, strict=True)]

    return LazyBatch(len(places), parts, samples)


def _part(reader: Reader, clips: LeafClips, places: np.ndarray, keys: np.ndarray) -> BatchPart | None:
    """Clips of one dataset with the steps above it; labels and numbers are those of the outermost dataset."""
    steps = reader.fused_steps(clips) if hasattr(clips.dataset, "batch_segment") else None
    part = None if steps is None else clips.dataset.batch_segment(clips.places, rng_keys=keys[clips.at], rows=clips.at)
    if part is None:
        return None
    labels = None if part.labels is None else relabelled_all(part.labels, clips.steps)
    part.steps, part.labels, part.sample_idx = steps, labels, places[clips.at]  # before anything is worked out from them
    return part


def joined(parts: Sequence[BatchPart]) -> BatchPart:
    """Parts with the same steps, keypoints and kind of numbers as one, in the order of their rows; nothing is copied."""
    if len(parts) == 1:
        return parts[0]
    at = np.concatenate([part.at for part in parts])  # type: ignore[misc]  # all have rows
    order = np.argsort(at)
    frames = Frames(
        np.concatenate([part.frames.addresses for part in parts])[order],
        np.concatenate([part.frames.lengths for part in parts])[order],
        parts[0].frames.dtype,
        parts[0].frames.num_keypoints,
        [part.frames.memory for part in parts],
    )
    known = [part.labels for part in parts if part.labels is not None]
    return BatchPart(
        parts[0].steps,
        frames,
        parts[0].skeleton,
        np.concatenate([part.keys for part in parts])[order],
        np.concatenate(known)[order] if len(known) == len(parts) else None,
        np.concatenate([part.sample_idx for part in parts])[order],
        at[order],
    )


def steps_code(steps: BatchPipeline | None) -> Any:
    """Equal for pipelines that do the same; a step of one's own is equal to itself alone."""
    done = () if steps is None else (*steps.deferred, steps.pack)
    return tuple(
        (type(s), s.transform_id, repr(s)) if type(s).__module__.startswith("karsl.") else id(s)
        for s in done
        if s is not None
    )


def fused_steps(transforms: Sequence[Any]) -> BatchPipeline | None:
    """A pipeline that ends in a batch with nothing left to do one by one, or None."""
    steps = BatchPipeline.of([step for step in transforms if not isinstance(step, SetLabels)])
    return None if steps is None or steps.pack is None else steps
