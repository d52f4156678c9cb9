"""Throughput of a loader: samples per second, latency per batch, time that a training step waits, time per stage."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import chain, repeat
from typing import Any

import numpy as np
import torch

from karsl.datasets import KeypointDataset
from karsl.datasets.tree import resolve_leaves
from karsl.errors import ConfigError

_WARMUP = 0.2  # fraction of a measurement that precedes it: start of workers, caches, compiled code
_STAGE_SAMPLES = 64


@dataclass(frozen=True)
class Throughput:
    """Throughput of one loader.

    Args:
        num_workers: Worker processes.
        samples_per_s: Samples per second without a training step between batches.
        first_batch_s: Seconds from starting the iterator to its first batch.
        batch_ms: Median time per batch in milliseconds.
        batch_ms_p95: 95th percentile of it.
        step_ms: Duration of the simulated training step in milliseconds.
        wait_ratio: Fraction of a training loop with such steps that is spent waiting for batches, in [0, 1].
    """

    num_workers: int
    samples_per_s: float
    first_batch_s: float
    batch_ms: float
    batch_ms_p95: float
    step_ms: float
    wait_ratio: float


def measure(loader: Iterable[Any], *, seconds: float = 2.0, step_ms: float = 20.0) -> Throughput:
    """Time a loader, first as fast as it can, then with a training step after each batch.

    The step sleeps, as a process does that waits for a GPU, so workers have the processor to themselves. A loader shorter than
    the measurement is started again.

    Args:
        loader: Any iterable of batches, such as a DataLoader.
        seconds: Length of each of the two measurements.
        step_ms: Duration of a training step in milliseconds.

    Raises:
        ConfigError: The loader gives no batch.

    Example:
        >>> result = measure([{"inputs": torch.zeros(4, 8, 5, 3)}] * 10, seconds=0.02, step_ms=1)
        >>> result.samples_per_s > 0, 0 <= result.wait_ratio < 1
        (True, True)
    """
    if not seconds > 0 or step_ms < 0:
        raise ConfigError(f"seconds={seconds}, step_ms={step_ms}; expected a positive length and a step of at least 0")
    start = time.perf_counter()
    batches = _endless(loader)
    next(batches)
    first_batch_s = time.perf_counter() - start
    _consume(batches, seconds * _WARMUP)
    sizes, waits = _consume(batches, seconds)
    _, stepped = _consume(batches, seconds, step_s=step_ms / 1000)
    waiting = sum(stepped)
    return Throughput(
        num_workers=getattr(loader, "num_workers", 0),
        samples_per_s=sum(sizes) / sum(waits),
        first_batch_s=first_batch_s,
        batch_ms=1000 * float(np.median(waits)),
        batch_ms_p95=1000 * float(np.percentile(waits, 95)),
        step_ms=step_ms,
        wait_ratio=waiting / (waiting + len(stepped) * step_ms / 1000),
    )


def _endless(loader: Iterable[Any]) -> Iterator[Any]:
    def epoch(_: None) -> Iterator[Any]:
        batch = None
        for batch in loader:
            yield batch
        if batch is None:
            raise ConfigError("the loader gives no batch; is the dataset empty, or drop_last set with too few samples?")

    return chain.from_iterable(map(epoch, repeat(None)))


def _consume(batches: Iterator[Any], seconds: float, step_s: float = 0.0) -> tuple[list[int], list[float]]:
    """Return the number of samples of each batch and the seconds that each was waited for."""
    sizes, waits, stop = [], [], time.perf_counter() + seconds
    while not waits or time.perf_counter() < stop:
        start = time.perf_counter()
        batch = next(batches)
        waits.append(time.perf_counter() - start)
        sizes.append(_batch_size(batch))
        if step_s:
            time.sleep(step_s)
    return sizes, waits


def _batch_size(batch: Any) -> int:
    """Return the number of samples of a batch in any common form: tensors, lists, or dicts of them."""
    if isinstance(batch, dict):
        batch = next(iter(batch.values()), ())
    elif isinstance(batch, (list, tuple)) and batch and isinstance(batch[0], torch.Tensor):
        batch = batch[0]
    return len(batch) if hasattr(batch, "__len__") else 1


@dataclass(frozen=True)
class Stages:
    """Time per stage of the samples of one KeypointDataset.

    Args:
        micros: Name of a stage to median microseconds per sample, in the order of the pipeline.
        batched: Names of the transforms that a batch runs in one compiled pass; empty if samples are made one by one.
        batch_micros: Microseconds per sample of a whole batch; None if samples are made one by one.
        single: Names of the transforms that run once per sample although a batch could be compiled.
        from_archives: True if clips are read from files that are opened per clip, and not from a pack.
    """

    micros: dict[str, float] = field(default_factory=dict)
    batched: tuple[str, ...] = ()
    batch_micros: float | None = None
    single: tuple[str, ...] = ()
    from_archives: bool = False

    @property
    def bottleneck(self) -> str:
        """Name of the slowest stage."""
        return max(self.micros, key=self.micros.__getitem__, default="")


def profile_stages(dataset: Any, collate: Callable | None = None, *, samples: int = _STAGE_SAMPLES) -> Stages | None:
    """Time each transform of the first KeypointDataset below `dataset` on some of its samples, in this process.

    Args:
        dataset: Initialized; a KeypointDataset or wrappers around some.
        collate: Collate function of the loader, timed on whole batches.
        samples: Number of samples, evenly spread over the dataset.

    Returns:
        None if there is no such dataset.
    """
    indices = np.linspace(0, len(dataset) - 1, min(samples, len(dataset))).astype(np.int64)
    groups = [group for group in resolve_leaves(dataset, indices) if isinstance(group.dataset, KeypointDataset)]
    if not groups:
        return None
    leaf, leaf_indices = groups[0].dataset, groups[0].indices
    micros: defaultdict[str, list[float]] = defaultdict(list)
    for index in leaf_indices.tolist():
        start = time.perf_counter()
        results = leaf.initial_results(index)
        micros["record"].append(time.perf_counter() - start)
        start = time.perf_counter()
        for name, _ in leaf.pipeline.steps(results):
            micros[name].append(time.perf_counter() - start)
            start = time.perf_counter()
    medians = {name: 1e6 * float(np.median(values)) for name, values in micros.items()}
    segment = leaf.batch_segment(leaf_indices)
    names = tuple(medians)[1:]
    from_archives = not (leaf.serialize_data and "pack" in leaf.index.columns)
    if segment is None or collate is None:
        return Stages(medians, single=names, from_archives=from_archives)
    steps = segment.pipeline
    batched = tuple(type(step).__name__ for step in (steps.load, *steps.deferred, *filter(None, [steps.pack])))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        collate(leaf.__getitems__(leaf_indices.tolist()))
        times.append(time.perf_counter() - start)
    single = tuple(name for name in names if name not in batched)
    return Stages(medians, batched, 1e6 * min(times) / len(leaf_indices), single, from_archives)


def advice(results: list[Throughput], stages: Stages | None, *, collate_name: str = "") -> list[str]:
    """Return what limits a loader and what to change, one sentence each, most effective first.

    Args:
        results: One per number of workers.
        stages: Of `profile_stages`.
        collate_name: Name of the loader's collate function.
    """
    best = max(results, key=lambda result: result.samples_per_s)
    lines = []
    if best.wait_ratio < 0.02:
        lines.append(
            f"the loader keeps up: with num_workers={best.num_workers} a step of {best.step_ms:g} ms waits "
            f"{100 * best.wait_ratio:.1f} % of the time"
        )
    if len(results) > 1:
        slowest = min(results, key=lambda result: result.samples_per_s)
        factor = best.samples_per_s / slowest.samples_per_s
        lines.append(f"num_workers={best.num_workers} is fastest, {factor:.1f} times num_workers={slowest.num_workers}")
    if stages is None:
        return lines
    if find_spec("numba") is None:
        lines.append("samples are made one by one because numba is not installed: pip install 'karsl[fast]'")
    elif collate_name and collate_name not in ("keypoint_collate", "device_collate"):
        lines.append(
            f"collate_fn={collate_name} makes samples one by one; dict(type='keypoint_collate') makes whole batches"
        )
    elif stages.single:
        lines.append(
            f"{', '.join(stages.single)} {'run' if len(stages.single) > 1 else 'runs'} once per sample, outside the compiled "
            "pass; move such transforms behind the others, or before packing the clips"
        )
    if stages.from_archives and (stages.batch_micros or stages.bottleneck == "LoadKeypoints"):
        lines.append("clips are read from archives, whose decoding limits batches; 'karsl pack DATA_ROOT OUT' ends that")
    lines.append(f"slowest stage of a single sample: {stages.bottleneck} ({stages.micros[stages.bottleneck]:,.0f} us)")
    return lines
