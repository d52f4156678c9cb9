"""Throughput of a loader: samples per second, latency per batch, time that a training step waits, time per stage."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from karsl.datasets import KeypointDataset
from karsl.datasets.batching import compiled, uncompiled_reason
from karsl.datasets.pipeline import Pipeline
from karsl.datasets.transforms.labels import MapLabels
from karsl.datasets.tree import resolve_leaves
from karsl.errors import ConfigError, KarslError, TransformError

_WARMUP = 0.2  # fraction of a measurement that precedes it: start of workers, caches, compiled code
_STAGE_SAMPLES = 64
_TIMED_BATCHES = 3
_KEEPS_UP = 0.02  # a lower fraction of time spent waiting is not worth reducing


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

    The step sleeps, as a process does that waits for a GPU, so the workers have the processor to themselves. If an epoch is
    shorter than a measurement, the next one starts, and its start is part of the time.

    Args:
        loader: Any iterable of batches, such as a DataLoader.
        seconds: Length of each of the two measurements.
        step_ms: Duration of a training step in milliseconds.

    Raises:
        ConfigError: If the loader gives no batch, or an argument is out of range.

    Example:
        >>> result = measure([{"inputs": torch.zeros(4, 8, 5, 3)}] * 10, seconds=0.02, step_ms=1)
        >>> result.samples_per_s > 0, 0 <= result.wait_ratio < 1
        (True, True)
    """
    if not seconds > 0 or not step_ms >= 0:
        raise ConfigError(f"seconds={seconds}, step_ms={step_ms}; expected seconds above 0 and a step of at least 0 ms")
    start = time.perf_counter()
    batches = _endless(loader)
    next(batches)
    first_batch_s = time.perf_counter() - start
    _consume(batches, seconds * _WARMUP)
    num_samples, waits = _consume(batches, seconds)
    _, waits_between_steps = _consume(batches, seconds, step_s=step_ms / 1000)
    waiting = sum(waits_between_steps)
    return Throughput(
        num_workers=getattr(loader, "num_workers", 0),
        samples_per_s=num_samples / sum(waits),
        first_batch_s=first_batch_s,
        batch_ms=1000 * float(np.median(waits)),
        batch_ms_p95=1000 * float(np.percentile(waits, 95)),
        step_ms=step_ms,
        wait_ratio=waiting / (waiting + len(waits_between_steps) * step_ms / 1000),
    )


def _endless(loader: Iterable[Any]) -> Iterator[Any]:
    while True:
        is_empty = True
        for batch in loader:
            is_empty = False
            yield batch
        if is_empty:
            raise ConfigError("the loader gives no batch; is the dataset empty, or drop_last set with too few samples?")


def _consume(batches: Iterator[Any], seconds: float, *, step_s: float = 0.0) -> tuple[int, list[float]]:
    """Take batches for some seconds, at least one.

    Returns:
        Number of samples, and the seconds of waiting for each batch.
    """
    num_samples, stop = 0, time.perf_counter() + seconds
    waits: list[float] = []
    while not waits or time.perf_counter() < stop:
        start = time.perf_counter()
        batch = next(batches)
        waits.append(time.perf_counter() - start)
        num_samples += _batch_size(batch)
        if step_s:
            time.sleep(step_s)
    return num_samples, waits


def _batch_size(batch: Any) -> int:
    """Return the number of samples of a tensor, a list of samples, or a dict or list of tensors."""
    if isinstance(batch, Mapping):
        batch = next(iter(batch.values()), ())
    elif isinstance(batch, (list, tuple)) and batch and isinstance(batch[0], torch.Tensor):
        batch = batch[0]
    if isinstance(batch, torch.Tensor):
        return len(batch) if batch.ndim else 1
    return len(batch) if isinstance(batch, Sized) else 1


@dataclass(frozen=True)
class Stages:
    """Time per stage of the samples of one KeypointDataset.

    Args:
        micros: Name of a stage to median microseconds per sample, in the order of the pipeline.
        batched: Names of the transforms that run in one compiled pass over a batch; empty if samples are made one by one.
        batch_micros: Microseconds per sample of a whole batch; None without a collate function.
        single: Names of the transforms that run once per sample.
        decodes_files: True if clips are decoded from files, and not memory-mapped as those of a pack or tar are.
        disagreement: Sentence about a transform whose form for batches gives other numbers than that for one clip, or empty.
    """

    micros: dict[str, float] = field(default_factory=dict)
    batched: tuple[str, ...] = ()
    batch_micros: float | None = None
    single: tuple[str, ...] = ()
    decodes_files: bool = False
    disagreement: str = ""

    @property
    def bottleneck(self) -> str:
        """Name of the slowest stage."""
        return max(self.micros, key=self.micros.__getitem__, default="")


def profile_stages(dataset: Any, collate: Callable | None = None, *, samples: int = _STAGE_SAMPLES) -> Stages | None:
    """Time each transform of the first KeypointDataset in a tree of datasets on some of its samples, in this process.

    Args:
        dataset: An initialized KeypointDataset, or wrappers around some. Transforms of wrappers are timed too.
        collate: Collate function of the loader, timed on whole batches.
        samples: Number of samples that are timed one at a time, and in each batch; evenly spread over the dataset.

    Returns:
        None if there is no such dataset, or none of its samples can be made.
    """
    num_batches = 1 + _TIMED_BATCHES
    indices = np.linspace(0, len(dataset) - 1, min(samples * num_batches, len(dataset))).astype(np.int64)
    found = [clips for clips in resolve_leaves(dataset, indices) if isinstance(clips.dataset, KeypointDataset)]
    if not len(indices) or not found:
        return None
    leaf, rows = found[0].dataset, found[0].rows
    transforms = [step for step in (*leaf.pipeline.transforms, *found[0].steps) if not isinstance(step, MapLabels)]
    micros = _time_transforms(leaf, Pipeline(transforms), found[0].indices[::num_batches])
    if not micros:
        return None
    together = _are_batched(dataset, leaf, transforms)
    names = tuple(micros)[1:]
    return Stages(
        micros=micros,
        batched=tuple(name for name, batched in zip(names, together, strict=False) if batched),
        batch_micros=None if collate is None else _time_batches(dataset, collate, indices[rows], num_batches),
        single=tuple(name for name, batched in zip(names, together, strict=False) if not batched),
        disagreement=_disagreement(leaf, found[0].indices[::num_batches]),
        decodes_files=not {"frame_start", "byte_start"} & leaf.get_data_info(int(found[0].indices[0])).keys(),
    )


def _time_transforms(leaf: KeypointDataset, pipeline: Pipeline, indices: np.ndarray) -> dict[str, float]:
    """Return the median microseconds of the record and of each transform; a name that occurs again gets a number."""
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for index in indices.tolist():
        seen: Counter[str] = Counter()
        start = time.perf_counter()
        results = leaf.initial_results(index)
        seconds["record"].append(time.perf_counter() - start)
        try:
            start = time.perf_counter()
            for name, _ in pipeline.steps(results):
                duration = time.perf_counter() - start
                seen[name] += 1
                seconds[name if seen[name] == 1 else f"{name} {seen[name]}"].append(duration)
                start = time.perf_counter()
        except TransformError:
            if leaf.on_error != "skip":
                raise
    return {name: 1e6 * float(np.median(values)) for name, values in seconds.items()}


def _are_batched(dataset: Any, leaf: KeypointDataset, transforms: list[Callable]) -> Sequence[bool]:
    """Return True for each transform that is applied to all clips of a batch together."""
    batching, none = compiled(), [False] * len(transforms)
    if batching is None or not hasattr(dataset, "__getitems__") or leaf.batch_segment(np.arange(1)) is None:
        return none
    parts = batching.BatchPipeline.from_transforms(transforms)
    if parts is None or (dataset is not leaf and parts.pack is None):  # wrappers compile all transforms or none
        return none
    return [True, *parts.together]


def _disagreement(leaf: KeypointDataset, indices: np.ndarray) -> str:
    """Compare both forms of the transforms of a dataset on some of its clips."""
    batching = compiled()
    segment = None if batching is None else leaf.batch_segment(indices)
    if batching is None or segment is None:
        return ""
    try:
        return batching.find_disagreement(segment, leaf.pipeline, leaf.initial_results)
    except (KarslError, OSError):
        return ""  # such clips are made one by one


def _time_batches(dataset: Any, collate: Callable, indices: np.ndarray, num_batches: int) -> float:
    """Return the microseconds per sample of the fastest batch.

    The first batch has the clips that were timed one at a time; it compiles and is not counted. The others have other
    clips, so that the time includes reading a clip.
    """
    get_samples = getattr(dataset, "__getitems__", None) or (lambda positions: [dataset[i] for i in positions])
    micros = []
    for number in range(num_batches):
        batch = indices[number::num_batches].tolist()
        if batch:
            start = time.perf_counter()
            collate(get_samples(batch))
            micros.append(1e6 * (time.perf_counter() - start) / len(batch))
    return min(micros[1:] or micros)


def advice(results: Sequence[Throughput], stages: Stages | None, *, collate_name: str = "") -> list[str]:
    """Return what limits a loader and what to change, one sentence each.

    Args:
        results: One per number of workers.
        stages: Return value of `profile_stages`.
        collate_name: Name of the loader's collate function.
    """
    lines = []
    least_waiting = min(results, key=lambda result: result.wait_ratio)
    if least_waiting.wait_ratio < _KEEPS_UP:
        lines.append(
            f"the loader keeps up: with num_workers={least_waiting.num_workers} a step of {least_waiting.step_ms:g} ms "
            f"waits {100 * least_waiting.wait_ratio:.1f} % of the time"
        )
    if len(results) > 1:
        slowest, *_, fastest = sorted(results, key=lambda result: result.samples_per_s)
        factor = fastest.samples_per_s / slowest.samples_per_s
        lines.append(f"num_workers={fastest.num_workers} is fastest, {factor:.1f} times num_workers={slowest.num_workers}")
    if stages is None:
        return lines
    lines += [stages.disagreement] if stages.disagreement else []
    lines += _batching_advice(stages, collate_name)
    if stages.decodes_files and (stages.batched or stages.bottleneck == "LoadKeypoints"):
        lines.append("clips are decoded from files; 'karsl pack SOURCE PACK' stores them decoded, to be memory-mapped")
    lines.append(f"slowest stage of a single sample: {stages.bottleneck} ({stages.micros[stages.bottleneck]:,.0f} us)")
    return lines


def _batching_advice(stages: Stages, collate_name: str) -> list[str]:
    """Return why samples, or some of their transforms, are made one by one."""
    if compiled() is None:
        return [f"samples are made one by one because {uncompiled_reason()}"]
    if not stages.batched:
        return [
            "samples are made one by one; whole batches need a known skeleton, a pipeline that starts with LoadKeypoints, "
            "a dataset that does not override how a sample is made and, if there are wrappers, those of karsl and only "
            "transforms that have a batched form"
        ]
    lines = []
    if collate_name and collate_name not in ("keypoint_collate", "device_collate"):
        lines.append(
            f"collate_fn={collate_name} collates samples one by one; dict(type='keypoint_collate') makes whole batches"
        )
    if stages.single:
        verb = "run" if len(stages.single) > 1 else "runs"
        lines.append(
            f"{', '.join(stages.single)} {verb} once per sample; write transform_batch, which transforms the clips of a "
            "batch together, or apply such transforms before packing the clips"
        )
    return lines
