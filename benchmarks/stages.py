"""Time per stage of the batches of the candidate `karsl`, measured in this process."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.candidates.base import PIPELINE, loader_over
from benchmarks.candidates.packed import open_pack
from benchmarks.task import EndlessOrder

_BATCHES = 100


class Stopwatch:
    """Durations of named sections of code.

    Example:
        >>> watch = Stopwatch()
        >>> with watch.timing("nothing"):
        ...     pass
        >>> list(watch.medians(per=1))
        ['nothing']
    """

    def __init__(self) -> None:
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Time the body of a `with` statement."""
        start = time.perf_counter()
        yield
        self._seconds[name].append(time.perf_counter() - start)

    def medians(self, *, per: int) -> dict[str, float]:
        """Return the median microseconds of each name, divided by `per`."""
        return {name: median(values) * 1e6 / per for name, values in self._seconds.items()}


def profile_stages(folder: Path, *, batch_size: int, seed: int) -> dict[str, float]:
    """Return the microseconds per clip of each stage of `karsl`, without workers.

    The stage `loader` is the difference between `whole`, the time of a batch from the loader, and the sum of the others.

    Args:
        folder: Files of the candidate.
        batch_size: Clips per batch.
        seed: Seed of order and augmentation.
    """
    dataset, watch = open_pack(folder, PIPELINE, seed=seed), Stopwatch()
    order = iter(EndlessOrder(len(dataset), seed=seed))
    for indices in np.array_split(np.arange(len(dataset)), 1 + len(dataset) // batch_size):
        dataset.batch_segment(indices)  # the first access to a clip verifies its checksum
    held: deque = deque(maxlen=1)  # a training loop holds one batch while the next is made
    for _ in range(_BATCHES):
        held.append(_timed_batch(dataset, np.fromiter(order, np.int64, batch_size), watch))
    loader = iter(loader_over(dataset, batch_size=batch_size, num_workers=0, seed=seed, start_method="fork"))
    for _ in islice(loader, 3):
        pass
    whole = Stopwatch()
    for _ in range(_BATCHES):
        with whole.timing("whole"):
            held.append(next(loader))
    stages, total = watch.medians(per=batch_size), whole.medians(per=batch_size)["whole"]
    return {**stages, "loader": max(0.0, total - sum(stages.values())), "whole": total}


def _timed_batch(dataset: Any, indices: np.ndarray, watch: Stopwatch) -> dict:
    from karsl.datasets.batching.batch import allocate_batch, write_segments
    from karsl.datasets.batching.deferred import DeferredBatch
    from karsl.datasets.batching.segment import CompiledRNG

    with watch.timing("look up clips"):
        segment = dataset.batch_segment(indices)
        clips = DeferredBatch(segment.frames, segment.skeleton)
    for step in segment.pipeline.deferred:
        with watch.timing(f"plan {type(step).__name__}"):
            step.defer(clips, step.get_params(clips.meta, CompiledRNG(segment.rng_keys, transform_id=step.transform_id)))
    segment.__dict__["deferred"] = clips
    with watch.timing("memory of the batch"):
        arrays, batch = allocate_batch([segment], segment.shape())
    with watch.timing("compiled pass"):
        write_segments([segment], arrays)
    return batch
