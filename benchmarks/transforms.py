"""`python -m benchmarks --transforms`: every training transform added alone to the usual pipeline, against a numpy peer.

All pipelines are measured in one process with one thread, in alternating rounds, by processor time, so that other programs
on the machine disturb little.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks import peer_steps as peer
from benchmarks.baselines.memory_map import CANDIDATE as MEMORY_MAP
from benchmarks.candidates.base import PIPELINE, inputs_of, loader_over
from benchmarks.candidates.packed import CANDIDATE as PACKED
from benchmarks.candidates.packed import open_pack
from benchmarks.dataset_files import DatasetFiles
from benchmarks.task import CLIP_LEN, EagerTask, EndlessOrder, ReadClip, TaskDataset, plain_loader
from karsl.datasets.transforms.base import ClipBatch, KeypointTransform

USUAL = "the usual pipeline"
_BATCH_SIZE = 64
_NO_STEP: Callable[[np.ndarray], np.ndarray] = lambda clip: clip  # noqa: E731


@dataclass(frozen=True)
class Row:
    """One pipeline and its peer.

    Attributes:
        name: Name in the table.
        pipeline: Transforms.
        peer: Step of the peer, see `benchmarks.peer_steps`; it differs from the task in nothing else.
        before: True if the peer's step works on stored clips, False if on sampled frames.
    """

    name: str
    pipeline: Sequence[Any]
    peer: Callable[[np.ndarray], np.ndarray] = _NO_STEP
    before: bool = False


@dataclass(frozen=True)
class Rates:
    """Clips per second of processor time of one row, medians of all rounds."""

    name: str
    clips_s: float
    peer_s: float


def added(step: Any, position: int = -1) -> list[Any]:
    """Return the usual pipeline with a step before another, at the end before packing."""
    return [*PIPELINE[:position], step, *PIPELINE[position:]]


def replaced(sampler: Any) -> list[Any]:
    """Return the usual pipeline with another sampling of frames."""
    return [PIPELINE[0], sampler, *PIPELINE[2:]]


class RandomDepth(KeypointTransform):
    """A user's own step in vectorized numpy: scale z by a random ratio per clip."""

    def get_params(self, meta: Any, rng: Any) -> dict:
        return {"ratio": rng.uniform("ratio", low=0.5, high=1.5).astype(np.float32)}

    def transform_batch(self, batch: ClipBatch) -> dict:
        batch.keypoint[..., 2] *= batch.params["ratio"][batch.clip_idx, None]
        return {"keypoint": batch.keypoint}


def smooth_sample(results: dict) -> dict:
    """A user's own function of one sample: the mean of five frames."""
    present = (results["keypoint_score"] > 0)[..., None]
    known = np.concatenate([np.where(present, results["keypoint"], np.float32(0)), present], -1, dtype=np.float32)
    padded = np.pad(known, ((2, 2), (0, 0), (0, 0)))
    total = sum((padded[shift : shift + len(known)] for shift in range(1, 5)), start=padded[: len(known)])
    return {**results, "keypoint": np.where(present, total[..., :3] / np.maximum(total[..., 3:], 1), np.float32(np.nan))}


ROWS: tuple[Row, ...] = (
    Row(USUAL, PIPELINE),
    Row("UniformSampleFrames, to sample", replaced(dict(type="UniformSampleFrames", clip_len=CLIP_LEN))),
    Row("LegacyTSNSampleFrames, to sample", replaced(dict(type="LegacyTSNSampleFrames", clip_len=CLIP_LEN, jitter=1.0))),
    Row("PadTo, to sample", replaced(dict(type="PadTo", clip_len=CLIP_LEN))),
    Row("CenterScale", added(dict(type="CenterScale")), peer.center),
    Row("CenterScale(per_group)", added(dict(type="CenterScale", per_group=True)), peer.center_groups),
    Row("RandomAffine(per_group)", added(dict(type="RandomAffine", per_group=True)), peer.move_groups),
    Row("RandomGaussianNoise", added(dict(type="RandomGaussianNoise")), peer.add_noise),
    Row("KeypointDropout", added(dict(type="KeypointDropout")), peer.drop_points),
    Row("FrameDropout", added(dict(type="FrameDropout")), peer.drop_frames),
    Row("FillMissing(constant)", added(dict(type="FillMissing", value=0.5)), peer.fill_constant),
    Row("FillMissing(previous)", added(dict(type="FillMissing", mode="previous")), peer.fill_previous),
    Row("FillMissing(linear)", added(dict(type="FillMissing", mode="linear")), peer.fill_linear),
    Row("SelectKeypoints", added(dict(type="SelectKeypoints", names=("rh", "lh", "pose", "face"))), peer.select_points),
    Row("SkeletonFeatures(bone)", added(dict(type="SkeletonFeatures", feats="bone", output="keypoint")), peer.bones),
    Row("SkeletonFeatures(motion)", added(dict(type="SkeletonFeatures", feats="motion", output="keypoint")), peer.motion),
    Row("RandomResample", added(dict(type="RandomResample"), 1), peer.change_speed, before=True),
    Row("ResampleFPS", added(dict(type="ResampleFPS", fps=25, source_fps=30), 1), peer.change_speed, before=True),
    Row("SmoothKeypoints", added(dict(type="SmoothKeypoints")), peer.smooth),
    Row("a user's transform_batch", added(RandomDepth()), peer.scale_depth),
    Row("a user's function, before packing", added(smooth_sample), peer.smooth),
    Row("a user's function, after loading", added(smooth_sample, 1), peer.smooth, before=True),
)


class _PeerTask(EagerTask):
    """The task with one more step."""

    def __init__(self, row: Row, seed: int) -> None:
        super().__init__(seed)
        self.row = row

    def __call__(self, clip: np.ndarray) -> np.ndarray:
        if self.row.before:
            return super().__call__(self.row.peer(np.array(clip)))
        return np.ascontiguousarray(self.row.peer(super().__call__(clip)))


def bench_transforms(
    count: int = 3000,
    folder: Path | None = None,
    *,
    rounds: int = 5,
    seconds: float = 0.5,
    seed: int = 0,
    rows: Iterable[Row] = ROWS,
) -> list[Rates]:
    """Measure each row and its peer.

    Args:
        count: Number of synthetic clips.
        folder: Folder for the files; None uses a temporary one. Existing files are reused.
        rounds: Number of alternating rounds.
        seconds: Processor time of one measurement.
        seed: Seed of clips, order and augmentation.
        rows: Rows to measure.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="karsl-bench-") as temporary:
        files = DatasetFiles(folder or Path(temporary), count=count, seed=seed)
        pack, memory_map = (Path(files.prepare(candidate).folder) for candidate in (PACKED, MEMORY_MAP))
        open_reader = partial(MEMORY_MAP.open_reader, memory_map)
        timers = {row.name: (_timer(_karsl(pack, row, seed)), _timer(_peer(open_reader, count, row, seed))) for row in rows}
        found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in timers}
        for _ in range(rounds):
            for name, pair in timers.items():
                for timer, rates in zip(pair, found[name], strict=True):
                    rates.append(timer(seconds))
    torch.set_num_threads(threads)
    return [Rates(name, median(own), median(others)) for name, (own, others) in found.items()]


def transforms_table(rates: Sequence[Rates]) -> str:
    """Return the table as Markdown: rate, share of the usual pipeline's rate, times the peer's rate."""
    usual = next((row.clips_s for row in rates if row.name == USUAL), float("nan"))
    lines = ["| transform | clips/s | share of the usual pipeline | peer in numpy, clips/s | times the peer |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    for row in rates:
        share, ratio = f"{row.clips_s / usual:.2f}", f"{row.clips_s / row.peer_s:.1f}"
        lines.append(f"| {row.name} | {row.clips_s:,.0f} | {share} | {row.peer_s:,.0f} | {ratio} |")
    return "\n".join(lines)


def _karsl(pack: Path, row: Row, seed: int) -> Iterator[torch.Tensor]:
    dataset = open_pack(pack, list(row.pipeline), seed=seed)
    return inputs_of(loader_over(dataset, seed=seed, batch_size=_BATCH_SIZE, num_workers=0, start_method="fork"))


def _peer(open_reader: Callable[[], ReadClip], count: int, row: Row, seed: int) -> Iterator[torch.Tensor]:
    dataset = TaskDataset(open_reader, count)
    dataset.task = _PeerTask(row, seed)
    order = EndlessOrder(count, seed=seed)
    return iter(plain_loader(dataset, batch_size=_BATCH_SIZE, sampler=order, num_workers=0, start_method="fork"))


def _timer(batches: Iterator[torch.Tensor]) -> Callable[[float], float]:
    """Return a function that takes batches for some seconds and returns clips per second, without the first batch."""
    for _ in range(2):
        next(batches)

    def time_batches(seconds: float) -> float:
        next(batches)  # caches are those of another pipeline
        clips, start = 0, time.process_time()
        while time.process_time() - start < seconds:
            clips += len(next(batches))
        return clips / (time.process_time() - start)

    return time_batches
