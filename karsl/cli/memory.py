"""`karsl memory`: what each process of a loader takes, and whether the records are shared or copied."""

from __future__ import annotations

import argparse
import multiprocessing
from pathlib import Path
from typing import Any

from karsl.cli.options import add_cfg_options, add_data_options, add_phase, import_modules

SUMMARY = "measure the memory of a loader's processes, and whether they share the records"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options; several values of `--start-method` and `--serialize` are compared."""
    parser.add_argument("config", nargs="?", help="config file; without one, --records or --data-root")
    add_phase(parser, "which loader of the config")
    add_data_options(parser, "data root of every dataset in the config, or of a KArSL layout")
    parser.add_argument("--records", type=int, metavar="N", help="N made-up records of KArSL's size instead of data")
    parser.add_argument("--workers", type=int, help="worker processes of each rank (default: the config's, else 2)")
    parser.add_argument("--batch-size", type=int, help="default: the config's, else 64; 1024 for --records")
    methods = multiprocessing.get_all_start_methods()
    parser.add_argument(
        "--start-method", nargs="+", choices=methods, default=methods[:1], metavar="METHOD",
        help=f"how workers start: {', '.join(methods)} (default: {methods[0]})",
    )  # fmt: skip
    parser.add_argument(
        "--serialize", nargs="+", choices=("on", "off", "mmengine"), default=["on"], metavar="WAY",
        help="how records are kept: on (shared index), off (Python objects), mmengine (its buffer; with --records)",
    )  # fmt: skip
    parser.add_argument("--ranks", type=int, default=1, help="loaders that run at once, as in DDP (default: 1)")
    parser.add_argument("--epochs", type=int, default=1, help="how often each loader is run through (default: 1)")
    parser.add_argument("--iters", type=int, help="stop after so many batches of each rank")
    parser.add_argument("--points", type=int, default=20, help="about how many times to look (default: 20)")
    parser.add_argument(
        "--max-private-mb", type=float, metavar="MIB",
        help="exit status 1 when one process has more than this of private copies of records",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, help="file to write all figures to")
    parser.add_argument("--plot", type=Path, help="file to draw a picture (PNG) to; needs karsl[viz]")
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Probe every case, print tables and verdicts, write what was asked for."""
    from rich.console import Console

    from karsl.analysis.memory.report import comparison
    from karsl.analysis.plotting import need_matplotlib

    _check(args)
    import_modules(args.imports)
    if args.plot:
        need_matplotlib()  # before minutes of work, not after
    console = Console()
    all_series = _probe_all(args, console)
    if len(all_series) > 1:
        console.print(comparison(all_series))
    _write(args, all_series)
    return _judge(args, all_series)


def _probe_all(args: argparse.Namespace, console: Any) -> list[Any]:
    """A series of each case, each told as soon as it is there."""
    import tempfile

    from rich.console import Console

    from karsl.analysis.memory.probe import probe
    from karsl.analysis.memory.report import case_report
    from karsl.cli.memory_source import plan_cases

    all_series: list[Any] = []
    with tempfile.TemporaryDirectory(prefix="karsl-memory-") as folder:
        make_loader, cases = plan_cases(args, folder)
        for case in cases:
            with Console(stderr=True).status(f"{case.label}: starting") as status:

                def tell(point: Any, status: Any = status, label: str = case.label) -> None:
                    status.update(f"{label}: iteration {point.iteration:,}")

                limits = {"epochs": args.epochs, "iters": args.iters, "points": args.points}
                all_series.append(probe(make_loader, case, on_point=tell, **limits))
            console.print(case_report(all_series[-1]))
    return all_series


def _write(args: argparse.Namespace, all_series: list[Any]) -> None:
    import json

    from karsl.analysis.memory.plot import draw_series

    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps([series.to_dict() for series in all_series], indent=1), encoding="utf-8")
        print(f"figures: {args.json}")
    if args.plot:
        draw_series(all_series, args.plot, title=_title(args, all_series[0]))
        print(f"picture: {args.plot}")


def _judge(args: argparse.Namespace, all_series: list[Any]) -> int:
    """1 where a process has more of its own than the limit that was given allows."""
    from karsl.analysis.memory.verdict import gate

    if args.max_private_mb is None:
        return 0
    failures = [text for text in (gate(series, args.max_private_mb) for series in all_series) if text]
    for text in failures:
        print(f"over the limit: {text}")
    return 1 if failures else 0


def _check(args: argparse.Namespace) -> None:
    from karsl.errors import ConfigError

    for name in ("records", "batch_size", "ranks", "epochs", "iters", "points"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name.replace('_', '-')} {value}; expected a positive number")
    if args.workers is not None and args.workers < 0:
        raise ConfigError(f"--workers {args.workers}; expected 0 or more")
    if args.records and (args.config or args.data_root):
        raise ConfigError("--records makes records up; leave out the config and --data-root")
    if not (args.records or args.config or args.data_root):
        raise ConfigError("nothing to measure; give a config, --data-root, or --records 1000000")
    if args.cfg_options and not args.config:
        raise ConfigError("--cfg-options changes a config, but none is given")
    if args.ann_file and args.records:
        raise ConfigError("--records makes records up; leave out --ann-file")
    if "mmengine" in args.serialize and not args.records:
        raise ConfigError("--serialize mmengine compares with made-up records; give --records 1000000")


def _title(args: argparse.Namespace, series: Any) -> str:
    source = args.config or args.data_root or "made-up records"
    case = series.case
    ranks = f"{case.ranks} ranks with " if case.ranks > 1 else ""
    return f"{source} · {series.num_records:,} records · {ranks}{case.num_workers} workers" + (" each" if ranks else "")
