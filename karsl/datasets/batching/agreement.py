"""Comparison of the batched form of each transform with its form for one clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from karsl.datasets.batching.deferred import DeferredBatch
from karsl.datasets.batching.segment import BatchPipeline, BatchSegment

_TOLERANCE = 1e-4  # of the largest coordinate: a clip alone is rounded after each transform


def find_disagreement(segment: BatchSegment, pipeline: Any, initial_results: Callable[[int, np.uint64], dict]) -> str:
    """Return a sentence about the first transform whose two forms differ; empty if there is none.

    Args:
        segment: Clips of a batch, as they are read.
        pipeline: Pipeline of the dataset.
        initial_results: Returns the input of the pipeline at an index, with a random key.

    Raises:
        KarslError: If a transform fails.
    """
    position = 1
    clips = [initial_results(index, key) for index, key in zip(segment.sample_idx.tolist(), segment.rng_keys, strict=True)]
    clips = [pipeline(clip, 0, position) for clip in clips]
    here: BatchSegment | None = segment
    while here is not None:
        steps = here.pipeline.deferred
        for count, step in enumerate(steps, start=1):
            clips = [None if clip is None else pipeline(clip, position, position + 1) for clip in clips]
            position += 1
            if any(clip is None for clip in clips):
                return ""  # such clips are replaced one by one
            prefix = BatchPipeline(here.pipeline.load, steps[:count], None)
            difference = _difference(here.record(prefix), clips)
            if difference:
                form = step.batched_form()
                return f"{type(step).__name__}: {form} and apply differ, {difference}; both must compute the same"
        stop = position + len(here.pipeline.single)
        if here.pipeline.then is None:
            return ""
        clips = [pipeline(clip, position, stop) for clip in clips]
        here = here.joined(clips) if all(clip is not None for clip in clips) else None
        position = stop
    return ""


def _difference(batch: DeferredBatch, clips: list[dict]) -> str:
    """Describe the first difference between N clips of a batch and the same clips, each made alone."""
    points, mask = batch.write(channels=batch.channels + 1, fill=np.nan if batch.fill_value is None else batch.fill_value)
    ends = np.concatenate([[0], np.cumsum(batch.num_frames)])
    for n, clip in enumerate(clips):
        together, alone, present = points[ends[n] : ends[n + 1], :, :-1], clip["keypoint"], clip["keypoint_score"] > 0
        where = f"at clip {clip.get('clip_id', n)!r}"
        if together.shape != alone.shape:
            return f"{together.shape} and {alone.shape} {where}"
        if (mask[ends[n] : ends[n + 1]] != present).any():
            return f"in which keypoints are missing {where}"
        size = max(1.0, float(np.nanmax(np.abs(alone), initial=1.0)))
        if not np.allclose(together, alone, rtol=0, atol=_TOLERANCE * size, equal_nan=True):
            return f"by up to {np.nanmax(np.abs(together - alone), initial=0.0):.3g} {where}"
    return ""
