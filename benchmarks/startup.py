"""Seconds from opening a dataset to its first batch, for folders and for a pack, with and without a cached index."""

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

_FRAMES = 3  # short clips are written quickly; finding them is what is timed
_BATCH_SIZE = 64
_PIPELINE: list[dict] = [
    dict(type="LoadKeypoints"),
    dict(type="TSNSampleFrames", clip_len=50, jitter=1.0),
    dict(type="RandomFlip"),
    dict(type="PackKeypointInputs"),
]
_SPLITS = {f"{signer}-{split}": clips for signer in ("01", "02", "03") for split, clips in (("train", 42), ("test", 8))}
_CLIPS_PER_SIGN = sum(_SPLITS.values())


@dataclass(frozen=True)
class StartupFigures:
    """Startup time of one kind of dataset.

    Args:
        name: Description of the dataset.
        seconds: Seconds to the first batch; modules and compiled functions are loaded before.
    """

    name: str
    seconds: float


def bench_open(count: int = 75_300, folder: Path | None = None, *, repeats: int = 3) -> list[StartupFigures]:
    """Time a corpus in KArSL's layout and a pack of it.

    Args:
        count: Number of clips, rounded up to a multiple of 150, the clips per sign.
        folder: Folder for the files; None uses a temporary one. Existing files are reused.
        repeats: Number of measurements, of which the minimum is returned.
    """
    with tempfile.TemporaryDirectory(prefix="karsl-bench-") as temporary:
        work_dir = folder or Path(temporary)
        root, pack = work_dir / f"open-{count}", work_dir / f"open-{count}-pack"
        if not pack.exists():
            write_corpus(root, -(-count // _CLIPS_PER_SIGN))
            pack_clips(open_clips(root), pack)
        folder_options = dict(data_root=str(root))
        pack_options = dict(data_root=str(pack), ann_file="annotations.json")
        with tempfile.TemporaryDirectory(dir=work_dir) as index:
            _first_batch(index_cache=index, **pack_options)
            _first_batch(index_cache=index, **folder_options)
            runs: dict[str, Callable[[], None]] = {
                "npz folders, scanned": lambda: _first_batch(index_cache=None, **folder_options),
                "npz folders, index cached": lambda: _first_batch(index_cache=index, **folder_options),
                "pack, annotations parsed": lambda: _first_batch(index_cache=None, **pack_options),
                "pack, index cached": lambda: _first_batch(index_cache=index, **pack_options),
            }
            return [StartupFigures(name, min(_seconds(run) for _ in range(repeats))) for name, run in runs.items()]


def open_table(figures: Sequence[StartupFigures], count: int) -> Table:
    """Return a table with the speedup of each row over the first."""
    table = Table(title=f"{count:,} clips: from opening to the first batch", title_justify="left", title_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("s", justify="right")
    table.add_column("times faster", justify="right")
    for row in figures:
        table.add_row(row.name, f"{row.seconds:.3f}", f"{figures[0].seconds / row.seconds:,.1f}")
    return table


def write_corpus(root: Path, signs: int) -> None:
    """Write archives of short clips in KArSL's layout."""
    rng = np.random.default_rng(0)
    clip, number = rng.random((_FRAMES, 184, 4), np.float32), 0
    for split, clips in _SPLITS.items():
        (root / split).mkdir(parents=True)
        for sign in range(1, signs + 1):
            arrays: dict = {}
            for n in range(clips):
                arrays[f"00_{split[:2]}_{sign:04d}_({split[3:]}_{n:02d})_c"] = different = clip.copy()
                number += 1
                different[0, 0, 0] = number  # clips of equal content are copies
            np.savez(root / split / f"{sign:04d}.npz", **arrays)


def _first_batch(**kwargs: object) -> None:
    dataset = KArSLDataset(pipeline=_PIPELINE, seed=0, **kwargs)  # type: ignore[arg-type]
    keypoint_collate(dataset.__getitems__(np.random.default_rng(0).integers(0, len(dataset), _BATCH_SIZE).tolist()))


def _seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
