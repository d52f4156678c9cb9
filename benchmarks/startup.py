"""How long a dataset takes from nothing to its first batch: folders scanned, a pack opened, and both a second time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from karsl.datasets import KArSLDataset, keypoint_collate
from karsl.formats import open_clips
from karsl.pack.write import pack_clips

_FRAMES = 3  # clips are short: what is timed is finding them, and files of 75,300 are written quickly
_BATCH_SIZE = 64
_PIPELINE: list[dict] = [
    dict(type="LoadKeypoints"),
    dict(type="TSNSampleFrames", clip_len=50, jitter=1.0),
    dict(type="RandomFlip"),
    dict(type="PackKeypointInputs"),
]
_SPLITS = {f"{signer}-{split}": clips for signer in ("01", "02", "03") for split, clips in (("train", 42), ("test", 8))}
_CLIPS_A_SIGN = sum(_SPLITS.values())


@dataclass(frozen=True)
class StartupFigures:
    """Args:
    name: What was opened.
    seconds: To the first batch, modules and compiled functions being loaded.
    """

    name: str
    seconds: float


def bench_open(count: int = 75_300, folder: Path | None = None, *, repeats: int = 3) -> list[StartupFigures]:
    """Figures of a corpus in KArSL's layout and of a pack of it.

    Args:
        count: Clips, rounded up to whole signs of 150.
        folder: For the files; a temporary one by default. Files that are there are used again.
        repeats: The least of so many readings counts.
    """
    with tempfile.TemporaryDirectory(prefix="karsl-bench-") as temporary:
        place = folder or Path(temporary)
        root, pack = place / f"open-{count}", place / f"open-{count}-pack"
        if not pack.exists():
            write_corpus(root, -(-count // _CLIPS_A_SIGN))
            pack_clips(open_clips(root), pack)
        of_folders = dict(data_root=str(root))
        of_pack = dict(data_root=str(pack), ann_file="annotations.json")
        with tempfile.TemporaryDirectory(dir=place) as index:
            _first_batch(index_cache=index, **of_pack)
            _first_batch(index_cache=index, **of_folders)
            ways: dict[str, Callable[[], None]] = {
                "npz folders, scanned": lambda: _first_batch(index_cache=None, **of_folders),
                "npz folders, index kept": lambda: _first_batch(index_cache=index, **of_folders),
                "pack, annotations parsed": lambda: _first_batch(index_cache=None, **of_pack),
                "pack, index kept": lambda: _first_batch(index_cache=index, **of_pack),
            }
            return [StartupFigures(name, min(_seconds(way) for _ in range(repeats))) for name, way in ways.items()]


def open_table(figures: Sequence[StartupFigures], count: int) -> Table:
    """A table, each row with how many times faster it is than the first."""
    table = Table(title=f"{count:,} clips: from opening to the first batch", title_justify="left", title_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("s", justify="right")
    table.add_column("times faster", justify="right")
    for row in figures:
        table.add_row(row.name, f"{row.seconds:.3f}", f"{figures[0].seconds / row.seconds:,.1f}")
    return table


def write_corpus(root: Path, signs: int) -> None:
    """Archives of short clips in KArSL's layout."""
    rng = np.random.default_rng(0)
    clip = rng.random((_FRAMES, 184, 4), np.float32)
    for split, clips in _SPLITS.items():
        (root / split).mkdir(parents=True)
        for sign in range(1, signs + 1):
            arrays: dict = {f"00_{split[:2]}_{sign:04d}_({split[3:]}_{n:02d})_c": clip for n in range(clips)}
            np.savez(root / split / f"{sign:04d}.npz", **arrays)


def _first_batch(**kwargs: object) -> None:
    """Every file's facts are asked anew, as in a new process."""
    dataset = KArSLDataset(pipeline=_PIPELINE, seed=0, **kwargs)  # type: ignore[arg-type]
    keypoint_collate(dataset.__getitems__(np.random.default_rng(0).integers(0, len(dataset), _BATCH_SIZE).tolist()))


def _seconds(way: Callable[[], None]) -> float:
    start = time.perf_counter()
    way()
    return time.perf_counter() - start
