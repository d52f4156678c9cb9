"""Padded batches of whole clips: karsl, and a memory map with torch's `pad_sequence`, on the same clips in one order."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from benchmarks.candidates.base import PIPELINE
from benchmarks.candidates.packed import CANDIDATE as PACKED
from benchmarks.candidates.packed import open_pack
from benchmarks.clips import StoredClips, SyntheticClips, write_block
from benchmarks.task import EagerTask, interpolate
from karsl.datasets import LengthBucketSampler, keypoint_collate

_BATCH_SIZE = 64
_BATCHES = 24  # per round and loader that makes samples one by one
_SPEED = (0.8, 1.25)
_PIPELINES = {
    "whole clips": [PIPELINE[0], *PIPELINE[2:]],
    "whole clips at random speed": [PIPELINE[0], dict(type="RandomResample", speed=_SPEED), *PIPELINE[2:]],
}


@dataclass(frozen=True)
class PaddingFigures:
    """Rate of one loader.

    Attributes:
        task: Key of the pipeline.
        name: Description of the loader.
        clips_s: Clips per second of processor time, in process with one thread; the median of all rounds.
    """

    task: str
    name: str
    clips_s: float


def bench_padding(count: int = 6000, folder: Path | None = None, *, rounds: int = 5) -> list[PaddingFigures]:
    """Time the loaders in turns.

    Args:
        count: Number of synthetic clips.
        folder: Folder for the files; None uses a temporary one. Existing files are reused.
        rounds: Number of measurements per loader.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory(prefix="karsl-bench-") as temporary:
            block, pack = _write(SyntheticClips(count), folder or Path(temporary))
            return [row for task in _PIPELINES for row in _bench_task(task, block, pack, rounds)]
    finally:
        torch.set_num_threads(threads)


def padding_table(figures: Sequence[PaddingFigures], count: int) -> Table:
    """Return a table with the ratio of each row to the first one of its task."""
    table = Table(title=f"{count:,} clips in padded batches of {_BATCH_SIZE}", title_justify="left", title_style="bold")
    for name in ("", "loader"):
        table.add_column(name, no_wrap=True)
    for name in ("clips/s", "times the first"):
        table.add_column(name, justify="right")
    first = {row.task: row.clips_s for row in reversed(figures)}
    for row in figures:
        table.add_row(row.task, row.name, f"{row.clips_s:,.0f}", f"{row.clips_s / first[row.task]:,.1f}")
    return table


def _write(clips: SyntheticClips, folder: Path) -> tuple[Path, Path]:
    paths = folder / f"pad-{len(clips)}-block", folder / f"pad-{len(clips)}-pack"
    for path, is_pack in zip(paths, (False, True), strict=True):
        if not path.exists():
            path.mkdir(parents=True)
            PACKED.prepare(clips, path) if is_pack else write_block(clips, path)
    return paths


def _bench_task(task: str, block: Path, pack: Path, rounds: int) -> list[PaddingFigures]:
    dataset = open_pack(pack, _PIPELINES[task], seed=0)
    sampler = LengthBucketSampler(dataset, batch_size=_BATCH_SIZE, seed=0)
    options: dict[str, Any] = dict(batch_size=_BATCH_SIZE, sampler=sampler)
    epoch = len(sampler) // _BATCH_SIZE
    speed = _SPEED if len(_PIPELINES[task]) == len(PIPELINE) else None
    loaders: dict[str, tuple[Iterable, int]] = {
        "memory map, pad_sequence": (
            DataLoader(WholeClips(block, speed), collate_fn=collate_with_torch, **options),
            min(_BATCHES, epoch),
        ),
        "karsl, one by one": (DataLoader(dataset, collate_fn=_collate_singly, **options), min(_BATCHES, epoch)),
        "karsl, one pass": (DataLoader(dataset, collate_fn=partial(keypoint_collate, pad=True), **options), epoch),
    }
    for loader, _ in loaders.values():
        _rate(loader, epoch)  # compiles, and verifies checksums once
    rates: dict[str, list[float]] = {name: [] for name in loaders}
    for _ in range(rounds):
        for name, (loader, batches) in loaders.items():
            rates[name].append(_rate(loader, batches))
    return [PaddingFigures(task, name, median(values)) for name, values in rates.items()]


def _rate(loader: Iterable[dict], batches: int) -> float:
    start = time.process_time()
    clips = sum(len(batch["inputs"]) for batch in islice(loader, batches))
    return clips / (time.process_time() - start)


class WholeClips(Dataset):
    """Clips of a memory-mapped block with the task in NumPy, as commonly written.

    Args:
        folder: Folder written by `write_block`.
        speed: Range of the speed at which clips are resampled; None leaves their frames as they are.
    """

    def __init__(self, folder: Path, speed: tuple[float, float] | None) -> None:
        self.clips, self.task, self.speed = StoredClips(folder), EagerTask(), speed

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(self.task.augment(self._resample(self.clips[index])))

    def _resample(self, clip: np.ndarray) -> np.ndarray:
        if self.speed is None:
            return clip.copy()
        low, high = np.log(self.speed)
        length = max(1, round(len(clip) / np.exp(self.task.rng.uniform(low, high))))
        return interpolate(clip, (np.arange(length) + 0.5) * len(clip) / length - 0.5)


def collate_with_torch(clips: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Pad clips (T, V, 4) of any length with torch, with the mask and the lengths that a model needs."""
    inputs = pad_sequence(list(clips), batch_first=True)
    return {
        "inputs": inputs,
        "keypoint_mask": inputs[..., 3] > 0,
        "num_frames": torch.tensor([len(clip) for clip in clips]),
    }


def _collate_singly(samples: Sequence[dict]) -> dict:
    return keypoint_collate(list(samples), pad=True)
