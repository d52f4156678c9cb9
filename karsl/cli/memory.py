"""`karsl memory`: measure each process of a loader, and whether the records are shared or copied."""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from karsl.cli.options import add_cfg_options, add_data_options, add_phase, import_user_modules
from karsl.errors import ConfigError, pluralize

SUMMARY = "measure the memory of a loader's processes and whether they share the records"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options; several values of `--start-method` and `--serialize` are compared."""
    parser.add_argument(
        "config", metavar="CONFIG", nargs="?", help="config file; without one, give --records or --data-root"
    )
    add_phase(parser, "loader of the config to measure")
    add_data_options(parser, "data root of every dataset in the config; without a config, data root in KArSL's layout")
    parser.add_argument(
        "--records", type=int, metavar="N", help="measure N synthetic records of KArSL's size instead of data"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="worker processes per rank (default: the config's, else 2)")
    parser.add_argument(
        "--batch-size", type=int, metavar="N", help="samples per batch (default: the config's, else 64; 1024 with --records)"
    )
    methods = multiprocessing.get_all_start_methods()
    parser.add_argument(
        "--start-method", nargs="+", choices=methods, default=methods[:1], metavar="METHOD",
        help=f"start methods of workers to compare: {', '.join(methods)} (default: {methods[0]})",
    )  # fmt: skip
    parser.add_argument(
        "--serialize", nargs="+", choices=("on", "off", "mmengine"), default=["on"], metavar="MODE",
        help="storage of records to compare: on (shared index), off (Python objects), mmengine (MMEngine's buffer, needs "
        "--records) (default: on)",
    )  # fmt: skip
    parser.add_argument(
        "--ranks", type=int, default=1, metavar="N", help="loaders that run at the same time, as in DDP (default: 1)"
    )
    parser.add_argument("--epochs", type=int, default=1, metavar="N", help="passes through each loader (default: 1)")
    parser.add_argument("--iters", type=int, metavar="N", help="stop after N batches per rank")
    parser.add_argument(
        "--points", type=int, default=20, metavar="N", help="approximate number of measurements (default: 20)"
    )
    parser.add_argument(
        "--max-private-mb", type=float, metavar="MIB",
        help="exit with status 1 if a process has more than this of private copies of records",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="plot the figures to this PNG file; needs karsl[viz]")
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Probe every case, print tables and verdicts, write the requested files."""
    from karsl.profiling.plot import require_matplotlib
    from karsl.profiling.results import comparison
    from karsl.progress import make_console

    _check(args)
    import_user_modules(args.imports)
    if args.plot:
        require_matplotlib()  # before minutes of work, not after
    console = make_console()
    all_series = _probe_all(args, console)
    if len(all_series) > 1:
        console.print(comparison(all_series))
    _write(args, all_series)
    return _check_private(args, all_series)


def _probe_all(args: argparse.Namespace, console: Any) -> list[Any]:
    """Measure each case and print its report as soon as it is complete."""
    import tempfile

    from karsl.profiling.probe import probe
    from karsl.profiling.results import case_report
    from karsl.progress import make_console

    all_series: list[Any] = []
    with tempfile.TemporaryDirectory(prefix="karsl-memory-") as folder:
        make_loader, cases = plan_cases(args, folder)
        for case in cases:
            with make_console(stderr=True).status(f"{case.label}: starting") as status:

                def show(point: Any, status: Any = status, label: str = case.label) -> None:
                    status.update(f"{label}: iteration {point.iteration:,}")

                limits = {"epochs": args.epochs, "iters": args.iters, "points": args.points}
                all_series.append(probe(make_loader, case, on_point=show, **limits))
            console.print(case_report(all_series[-1]))
    return all_series


def _write(args: argparse.Namespace, all_series: list[Any]) -> None:
    import json

    from karsl.profiling.plot import draw_series

    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps([series.to_dict() for series in all_series], indent=1), encoding="utf-8")
        print(f"figures: {args.json}")
    if args.plot:
        draw_series(all_series, args.plot, title=_title(args, all_series[0]))
        print(f"plot: {args.plot}")


def _check_private(args: argparse.Namespace, all_series: list[Any]) -> int:
    """Return 1 if a process has more private copies than the limit allows, else 0."""
    from karsl.profiling.results import check_limits

    if args.max_private_mb is None:
        return 0
    failures = [text for text in (check_limits(series, args.max_private_mb) for series in all_series) if text]
    for text in failures:
        print(f"over the limit: {text}")
    return 1 if failures else 0


def _check(args: argparse.Namespace) -> None:
    for name in ("records", "batch_size", "ranks", "epochs", "iters", "points"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name.replace('_', '-')} {value}; expected a positive number")
    if args.workers is not None and args.workers < 0:
        raise ConfigError(f"--workers {args.workers}; expected 0 or more")
    if args.records and (args.config or args.data_root):
        raise ConfigError("--records makes synthetic records; leave out the config and --data-root")
    if not (args.records or args.config or args.data_root):
        raise ConfigError("nothing to measure; give a config, --data-root, or --records 1000000")
    if args.cfg_options and not args.config:
        raise ConfigError("--cfg-options changes a config, but none is given")
    if args.ann_file and args.records:
        raise ConfigError("--records makes synthetic records; leave out --ann-file")
    if "mmengine" in args.serialize and not args.records:
        raise ConfigError("--serialize mmengine compares synthetic records; give --records 1000000")


def _title(args: argparse.Namespace, series: Any) -> str:
    source = args.config or args.data_root or "synthetic records"
    case = series.case
    ranks = f"{case.ranks} ranks with " if case.ranks > 1 else ""
    return f"{source} · {pluralize(series.num_records, 'record', ',')} · {ranks}{pluralize(case.num_workers, 'worker')}" + (
        " each" if ranks else ""
    )


def plan_cases(args: argparse.Namespace, folder: str) -> tuple[Any, list]:
    """Return the function that makes the loader in the process of a rank, and the cases to compare.

    Args:
        args: Options of `karsl memory`.
        folder: Folder for the index of synthetic records.
    """
    from karsl.profiling.results import Case

    workers = 2 if args.workers is None else args.workers
    make: Any
    if args.records:
        make = partial(synthetic_loader, count=args.records, batch_size=args.batch_size or 1024, index_cache=folder)
    elif args.config:
        from karsl.engine.config.load import load_loader

        options = {"config": args.config, "options": args.cfg_options, "phase": args.phase}
        options |= {"data_root": args.data_root, "ann_file": args.ann_file}
        loader, _ = load_loader(**options)
        workers = loader.get("num_workers", 2) if args.workers is None else args.workers
        make = partial(config_loader, batch_size=args.batch_size, imports=args.imports, **options)
    else:
        options = {"data_root": args.data_root, "ann_file": args.ann_file}
        make = partial(folder_loader, batch_size=args.batch_size or 64, **options)
    methods = dict.fromkeys(args.start_method if workers else args.start_method[:1])
    return make, [Case(method, mode, workers, args.ranks) for mode in dict.fromkeys(args.serialize) for method in methods]


def synthetic_loader(case: Any, rank: int, **options: Any) -> Any:
    """Return a loader over synthetic records, in the process of one rank."""
    from karsl.testing.records import records_loader

    loader = {"serialize": case.serialize, "num_workers": case.num_workers, "start_method": case.start_method}
    return records_loader(seed=rank, **loader, **options)


def config_loader(case: Any, rank: int, *, batch_size: int | None, imports: Sequence[str], **options: Any) -> Any:
    """Return the loader of a config in the process of one rank, with the workers of `case`."""
    from karsl.engine.config.load import load_loader
    from karsl.engine.config.loaders import build_loader

    import_user_modules(imports)
    loader, scope = load_loader(**options)
    if batch_size:
        loader.batch_size = batch_size
    return build_loader(
        loader, scope=scope, seed=rank, num_workers=case.num_workers, start_method=case.start_method,
        serialize=case.serialize == "on",
    )  # fmt: skip


def folder_loader(case: Any, rank: int, *, data_root: str, ann_file: str | None = None, batch_size: int) -> Any:
    """Return a loader over the clips of a KArSL layout."""
    from karsl.datasets import KArSLDataset
    from karsl.engine.config.load import find_ann_file
    from karsl.testing.records import shuffled_loader

    steps = [{"type": "LoadKeypoints"}]
    ann_file = find_ann_file(ann_file, data_root) if ann_file else ""
    dataset = KArSLDataset(ann_file, data_root=data_root, pipeline=steps, serialize_data=case.serialize == "on")
    options = {"num_workers": case.num_workers, "start_method": case.start_method}
    return shuffled_loader(dataset, batch_size=batch_size, seed=rank, **options)
