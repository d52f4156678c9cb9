"""`karsl bench`: time the loader of a config, name its slowest stage and advise what to change."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from karsl.cli.options import add_cfg_options, add_data_options, add_phase, import_user_modules
from karsl.errors import ConfigError

SUMMARY = "time the loader of a config and report its bottleneck"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `karsl bench`."""
    parser.add_argument("config", metavar="CONFIG", help="config file")
    add_phase(parser, "loader of the config to time")
    add_data_options(parser)
    parser.add_argument(
        "--workers", type=int, nargs="+", metavar="N",
        help="numbers of worker processes to compare (default: 0 and the config's number, or 0 and 2)",
    )  # fmt: skip
    parser.add_argument("--batch-size", type=int, metavar="N", help="samples per batch (default: the config's)")
    parser.add_argument(
        "--step-ms", type=float, default=20.0, metavar="MS",
        help="duration of a training step in milliseconds, to compute how long it waits for data (default: 20)",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=float, default=2.0, metavar="S", help="duration of each measurement in seconds (default: 2)"
    )
    parser.add_argument(
        "--at-least",
        type=float,
        metavar="RATE",
        help="exit with status 1 if no setting reaches this many samples per second",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Time the loader for each number of workers; print tables and advice."""
    from rich.console import Console

    from karsl.profiling.throughput import advice, measure, profile_stages

    _check(args)
    import_user_modules(args.imports)
    console, status = Console(), Console(stderr=True)
    results: list[Any] = []
    stages, collate_name, batch_size = None, "", None
    for workers in _worker_counts(args):
        with status.status(f"timing num_workers={workers}"):
            loader = _build_loader(args, workers)
            results.append(measure(loader, seconds=args.seconds, step_ms=args.step_ms))
            if len(results) == 1:
                if hasattr(loader.dataset, "__len__"):  # not a stream
                    stages = profile_stages(loader.dataset, loader.collate_fn)
                collate_name = getattr(getattr(loader.collate_fn, "func", loader.collate_fn), "__name__", "")
                batch_size = loader.batch_size
            del loader  # ends its workers
    console.print(_rates_table(results))
    if stages is not None:
        console.print(_stages_table(stages))
    lines = advice(results, stages, collate_name=collate_name)
    print("\n".join(f"- {line}" for line in lines))
    if args.json:
        _write(args, batch_size, results, stages, lines)
    return _check_floor(args.at_least, max(result.samples_per_s for result in results))


def _check(args: argparse.Namespace) -> None:
    if args.batch_size is not None and args.batch_size < 1:
        raise ConfigError(f"--batch-size {args.batch_size}; expected a positive number")
    if any(workers < 0 for workers in args.workers or ()):
        raise ConfigError(f"--workers {min(args.workers)}; expected 0 or more")
    if not args.seconds > 0:
        raise ConfigError(f"--seconds {args.seconds:g}; expected a positive number")
    if not args.step_ms >= 0:
        raise ConfigError(f"--step-ms {args.step_ms:g}; expected 0 or more")


def _worker_counts(args: argparse.Namespace) -> list[int]:
    """Return the numbers of workers to compare: those of the option, or 0 and the config's, 2 if that is 0."""
    if args.workers:
        return list(dict.fromkeys(args.workers))
    loader, _ = _load_loader(args)
    return sorted({0, loader.get("num_workers", 0) or 2})


def _load_loader(args: argparse.Namespace) -> tuple[Any, str]:
    from karsl.engine.config.load import load_loader

    return load_loader(args.config, args.phase, args.cfg_options, data_root=args.data_root, ann_file=args.ann_file)


def _build_loader(args: argparse.Namespace, workers: int) -> Any:
    import multiprocessing

    from karsl.engine.config.loaders import build_loader

    loader, scope = _load_loader(args)
    if args.batch_size:
        loader.batch_size = args.batch_size
    method = loader.get("multiprocessing_context") or multiprocessing.get_start_method()
    return build_loader(loader, scope=scope, seed=0, num_workers=workers, start_method=method, serialize=True)


def _rates_table(results: list[Any]) -> Any:
    from rich.table import Table

    table = Table("num_workers")
    for name in ("samples/s", "batch, ms", "95 %, ms", "first batch, s", f"waiting at a {results[0].step_ms:g} ms step"):
        table.add_column(name, justify="right")
    for row in results:
        table.add_row(
            str(row.num_workers), f"{row.samples_per_s:,.0f}", f"{row.batch_ms:.1f}", f"{row.batch_ms_p95:.1f}",
            f"{row.first_batch_s:.2f}", f"{100 * row.wait_ratio:.1f} %",
        )  # fmt: skip
    return table


def _stages_table(stages: Any) -> Any:
    from rich.table import Table

    table = Table("stage", title="one sample at a time, in this process", title_justify="left")
    table.add_column("us per sample", justify="right")
    table.add_column("in a batch")
    for name, micros in stages.micros.items():
        table.add_row(name, f"{micros:,.1f}", "compiled" if name in stages.batched else "")
    if stages.batch_micros is not None:
        table.add_row("whole batch", f"{stages.batch_micros:,.1f}", "per sample", style="bold")
    return table


def _write(args: argparse.Namespace, batch_size: int | None, results: list[Any], stages: Any, lines: list[str]) -> None:
    import os
    import platform
    import sys
    from dataclasses import asdict
    from importlib.metadata import distributions

    packages = ("karsl", "torch", "numpy", "numba", "mmengine", "mmengine-lite", "onedl-mmengine")
    versions = {d.metadata["Name"]: d.version for d in distributions() if d.metadata["Name"] in packages}
    content = {
        "machine": {"system": platform.platform(), "python": sys.version.split()[0], "cores": os.cpu_count(), **versions},
        "config": args.config, "phase": args.phase, "data_root": args.data_root, "ann_file": args.ann_file,
        "batch_size": batch_size,
        "results": [asdict(row) for row in results],
        "stages": None if stages is None else asdict(stages),
        "advice": lines,
    }  # fmt: skip
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"figures: {args.json}")


def _check_floor(at_least: float | None, rate: float) -> int:
    """Return the exit status: 1 if the rate is less than `--at-least`."""
    if at_least is None or rate >= at_least:
        return 0
    print(f"below the limit: {rate:,.0f} samples/s, less than --at-least {at_least:,.0f}")
    return 1
