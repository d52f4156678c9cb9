"""`karsl bench --index` and `--open`: what comes before the first batch."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

_RECORDS, _QUICK_RECORDS = 1_000_000, 50_000
_OPENED, _QUICK_OPENED = 75_300, 3_000
_READINGS = 3


def index(args: argparse.Namespace) -> int:
    """Start and access of 1,000,000 records."""
    from rich.console import Console

    from karsl.analysis.bench.index import bench_index, bench_table

    count = args.clips or (_QUICK_RECORDS if args.quick else _RECORDS)
    _make_work_dir(args)
    with Console(stderr=True).status(f"indexing {count:,} records, four times"):
        figures = bench_index(count, args.work_dir)
    Console().print(bench_table(figures, count))
    _write(args, count, figures)
    return 0


def opening(args: argparse.Namespace) -> int:
    """From opening to the first batch."""
    from rich.console import Console

    from karsl.analysis.bench.opening import bench_open, open_table

    count = args.clips or (_QUICK_OPENED if args.quick else _OPENED)
    _make_work_dir(args)
    with Console(stderr=True).status(f"writing and opening {count:,} clips"):
        figures = bench_open(count, args.work_dir, repeats=args.rounds or _READINGS)
    Console().print(open_table(figures, count))
    _write(args, count, figures)
    return 0


def _make_work_dir(args: argparse.Namespace) -> None:
    if args.work_dir is not None:
        args.work_dir.mkdir(parents=True, exist_ok=True)


def _write(args: argparse.Namespace, count: int, figures: Sequence[Any]) -> None:
    from karsl.analysis.bench.result import machine

    if args.json is None:
        return
    told = {"machine": machine(), "count": count, "figures": [asdict(row) for row in figures]}
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    print(f"readings: {args.json}")
