"""Start, access and pickled size of MMEngine's BaseDataset and of KeypointDataset on the same annotation file."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from rich.table import Table

from benchmarks.errors import BenchError
from karsl.datasets.keypoint_dataset import KeypointDataset
from karsl.io.annotations import write_annotations
from karsl.testing.records import synthetic_records

_ACCESSES = 100_000


@dataclass(frozen=True)
class IndexFigures:
    """Figures of one dataset class.

    Args:
        name: Library and class.
        first_start_s: Seconds of the first `full_init`; the annotation file is in the page cache.
        second_start_s: Seconds of `full_init` in a later process.
        access_us: Microseconds of one `get_data_info` at a random index.
        labels_ms: Milliseconds to read all labels.
        pickled_bytes: Size of the pickled dataset, which a spawned worker receives.
    """

    name: str
    first_start_s: float
    second_start_s: float
    access_us: float
    labels_ms: float
    pickled_bytes: int


def bench_index(count: int = 1_000_000, folder: Path | None = None) -> list[IndexFigures]:
    """Measure MMEngine's class, then karsl's, each start in a new process.

    Args:
        count: Number of records.
        folder: Folder for annotation file and index; None uses a temporary one.
    """
    with tempfile.TemporaryDirectory(prefix="karsl-bench-") as temporary:
        work_dir = folder or Path(temporary)
        records = list(synthetic_records(count))
        annotation = str(write_annotations(work_dir / "annotations.json", {"dataset_name": "synthetic"}, records))
        karsl = partial(_karsl, cache=str(work_dir / "index"))
        classes: dict[str, Callable[[str], BaseDataset]] = {
            "mmengine BaseDataset": _mmengine,
            "karsl KeypointDataset": karsl,
        }
        found = []
        for name, make in classes.items():
            first = _in_fresh_process(make, annotation)
            second = _in_fresh_process(make, annotation)
            keys = ("access_us", "labels_ms", "pickled_bytes")
            found.append(IndexFigures(name, first["start_s"], second["start_s"], *(second[key] for key in keys)))
    return found


def bench_table(figures: Sequence[IndexFigures], count: int) -> Table:
    """Return a table with the ratio of the first row to the last."""
    table = Table(title=f"start and access of {count:,} records", title_justify="left", title_style="bold")
    for name in ("", "first start, s", "second start, s", "get_data_info, us", "all labels, ms", "pickle, kB"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=not name)
    for row in figures:
        table.add_row(
            row.name, f"{row.first_start_s:.2f}", f"{row.second_start_s:.4f}", f"{row.access_us:.2f}",
            f"{row.labels_ms:.2f}", f"{row.pickled_bytes / 1000:,.1f}",
        )  # fmt: skip
    first, last = figures[0], figures[-1]
    pairs = [(getattr(first, key), getattr(last, key)) for key in IndexFigures.__dataclass_fields__ if key != "name"]
    table.add_row("times better", *(f"{a / b:,.1f}" for a, b in pairs), style="bold")
    return table


def _mmengine(annotation: str) -> BaseDataset:
    return BaseDataset(annotation, data_prefix={"keypoint_path": "root"}, lazy_init=True)


def _karsl(annotation: str, cache: str) -> BaseDataset:
    return KeypointDataset(annotation, data_prefix={"keypoint_path": "root"}, lazy_init=True, index_cache=cache)


def _in_fresh_process(make: Callable[[str], BaseDataset], annotation: str) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measure, (make, annotation))


def _measure(make: Callable[[str], BaseDataset], annotation: str) -> dict[str, Any]:
    dataset = make(annotation)
    start = time.perf_counter()
    dataset.full_init()
    start_s = time.perf_counter() - start
    indices = np.random.default_rng(0).integers(0, len(dataset), _ACCESSES).tolist()
    start = time.perf_counter()
    for index in indices:
        dataset.get_data_info(index)
    access_us = (time.perf_counter() - start) / len(indices) * 1e6
    start = time.perf_counter()
    record_list = getattr(dataset, "index", None)
    if record_list is None:
        labels = [dataset.get_data_info(i)["label"] for i in range(len(dataset))]
    else:
        labels = record_list.column("label").tolist()
    labels_ms = (time.perf_counter() - start) * 1e3
    if len(labels) != len(dataset):
        raise BenchError(f"{len(labels)} labels of {len(dataset)} records; the index belongs to another dataset")
    pickled = len(ForkingPickler.dumps(dataset))
    return {"start_s": start_s, "access_us": access_us, "labels_ms": labels_ms, "pickled_bytes": pickled}
