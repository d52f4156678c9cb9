"""`python -m benchmarks`: time karsl and other libraries from clips to batches, and the limit of the machine."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import Case, Plan, Result, choose_candidates, run_plan
from benchmarks.index import bench_index, bench_table
from benchmarks.padding import bench_padding, padding_table
from benchmarks.plot import draw_result
from benchmarks.report import notes, result_table, stages_table
from benchmarks.result import STREAMS, machine
from benchmarks.scale import COUNTS, bench_scale, scale_table
from benchmarks.startup import bench_open, open_table
from benchmarks.transforms import bench_transforms, transforms_table
from karsl.errors import ConfigError, KarslError
from karsl.profiling.plot import require_matplotlib
from karsl.progress import step_bar

_FULL, _QUICK = (6000, 5, 3.0), (300, 1, 0.2)  # clips, rounds, seconds
_MIN_CLIPS, _BATCH_SIZE = 60, 64
_RECORDS, _QUICK_RECORDS = 1_000_000, 50_000
_STARTUP_CLIPS, _QUICK_STARTUP_CLIPS = 75_300, 3_000
_STARTUP_ROUNDS = 3
_QUICK_SCALE = (252, 504)
_TRANSFORMS_CLIPS, _TRANSFORMS_SECONDS = 3000, 0.5
_START_METHODS = ("fork", "spawn", "forkserver")
_BYTES_PER_CLIP = 1 << 20  # nine formats of 112 kB per clip
# Options that --index, --open, --pad, --scale and --transforms do not accept, with their defaults.
_BATCH_OPTIONS: dict[str, Any] = {
    "only": (),
    "seconds": None,
    "workers": (0, 2),
    "start_method": ("fork",),
    "cold": False,
    "seed": 0,
    "plot": None,
    "lazy": False,
    "stream": False,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the name of the program; None uses those of the process.

    Returns:
        0, 1 if a candidate failed, or 2 if an argument is invalid.
    """
    args = make_parser().parse_args(argv)
    try:
        return run(args)
    except KarslError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", default=(), metavar="NAME", help="only these candidates; a wrong name lists all"
    )
    parser.add_argument(
        "--quick", action="store_true", help="300 clips, one short round: under a minute, not for comparisons"
    )
    parser.add_argument("--clips", type=_positive, metavar="N", help="synthetic clips (default: 6000)")
    parser.add_argument("--rounds", type=_positive, metavar="N", help="interleaved rounds (default: 5; --open: 3)")
    parser.add_argument("--seconds", type=float, metavar="S", help="seconds per measurement (default: 3)")
    parser.add_argument(
        "--workers", type=int, nargs="+", default=(0, 2), metavar="N", help="worker processes (default: 0 and 2)"
    )
    parser.add_argument(
        "--start-method",
        nargs="+",
        choices=_START_METHODS,
        default=("fork",),
        help="start method of the workers (default: fork)",
    )
    parser.add_argument("--cold", action="store_true", help="drop the files from the page cache, then read one epoch")
    parser.add_argument("--seed", type=int, default=0, help="seed of clips, order and augmentation (default: 0)")
    parser.add_argument(
        "--work-dir",
        type=Path,
        help="folder for the files, which a later run reuses (default: a temporary one)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="file to write all figures to")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="file to plot the rates to; .png, .svg or .pdf")
    parser.add_argument(
        "--lazy", action="store_true", help="only karsl on a pack, and on the same pack through nested wrappers"
    )
    parser.add_argument("--stream", action="store_true", help="only streams, memory-mapped tars and WebDataset's own loader")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--index", action="store_true", help="time the index of 1,000,000 records instead of batches")
    start.add_argument("--open", action="store_true", help="time folders and a pack of 75,300 clips up to the first batch")
    start.add_argument("--pad", action="store_true", help="time padded batches of whole clips and torch's pad_sequence")
    start.add_argument(
        "--transforms", action="store_true", help="time each transform added to the usual pipeline; print Markdown"
    )
    start.add_argument(
        "--scale",
        action="store_true",
        help="time every step from archives to a served page, with 1,000, 10,000 and 75,300 clips; needs 13 GB",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Write the files of every candidate, measure, and print the tables."""
    modes = {
        "--index": (args.index, _run_index),
        "--open": (args.open, _run_startup),
        "--pad": (args.pad, _run_padding),
        "--scale": (args.scale, _run_scale),
        "--transforms": (args.transforms, _run_transforms),
    }
    for mode, (chosen, run_mode) in modes.items():
        if chosen:
            _check_mode_options(mode, args)
            return run_mode(args)
    result = _measure(args)
    _print(result)
    if args.json:
        result.write(args.json)
        print(f"figures: {args.json}")
    if args.plot:
        draw_result(result, args.plot)
        print(f"plot: {args.plot}")
    return 1 if result.failed else 0


def _measure(args: argparse.Namespace) -> Result:
    """Measure every chosen candidate that can run here.

    Raises:
        ConfigError: If no candidate can run, or an option is out of range.
        MissingExtraError: If a plot is requested and matplotlib is not installed.
    """
    plan = _plan(args)
    if args.plot:
        require_matplotlib()  # before minutes of work, not after
    lazy = ("karsl", "karsl-combined") if args.lazy else ()
    stream = (*STREAMS, "webdataset") if args.stream else ()
    candidates, skipped = choose_candidates((*lazy, *stream, *args.only))
    if not candidates:
        raise ConfigError("; ".join(f"{name}: {reason}" for name, reason in skipped.items()))
    with _work_dir(args.work_dir, plan.count) as folder, step_bar(plan.steps(candidates)) as progress:
        result = run_plan(plan, candidates, folder, progress=progress)
    result.skipped = skipped
    return result


def _print(result: Result) -> None:
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(result_table(result))
    if result.stages:
        console.print(stages_table(result))
    print("\n".join(notes(result)))


def _run_index(args: argparse.Namespace) -> int:
    count = args.clips or (_QUICK_RECORDS if args.quick else _RECORDS)
    _make_work_dir(args)
    with Console(stderr=True).status(f"indexing {count:,} records, four times"):
        figures = bench_index(count, args.work_dir)
    Console().print(bench_table(figures, count))
    _write_figures(args, count, figures)
    return 0


def _run_startup(args: argparse.Namespace) -> int:
    count = args.clips or (_QUICK_STARTUP_CLIPS if args.quick else _STARTUP_CLIPS)
    _make_work_dir(args)
    with Console(stderr=True).status(f"writing and opening {count:,} clips"):
        figures = bench_open(count, args.work_dir, repeats=args.rounds or _STARTUP_ROUNDS)
    Console().print(open_table(figures, count))
    _write_figures(args, count, figures)
    return 0


def _run_padding(args: argparse.Namespace) -> int:
    count, rounds, _ = _QUICK if args.quick else _FULL
    count = args.clips or count
    _make_work_dir(args)
    with Console(stderr=True).status(f"writing and padding {count:,} clips"):
        figures = bench_padding(count, args.work_dir, rounds=args.rounds or rounds)
    Console().print(padding_table(figures, count))
    _write_figures(args, count, figures)
    return 0


def _make_work_dir(args: argparse.Namespace) -> None:
    if args.work_dir is not None:
        args.work_dir.mkdir(parents=True, exist_ok=True)


def _write_figures(args: argparse.Namespace, count: int, figures: Sequence[Any]) -> None:
    if args.json is None:
        return
    content = {"machine": machine(), "count": count, "figures": [asdict(row) for row in figures]}
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"figures: {args.json}")


def _run_scale(args: argparse.Namespace) -> int:
    counts = [args.clips] if args.clips else _QUICK_SCALE if args.quick else COUNTS
    _make_work_dir(args)
    with Console(stderr=True).status(f"running every step on {' and '.join(f'{count:,}' for count in counts)} clips"):
        figures = bench_scale(counts, args.work_dir)
    Console(width=None if sys.stdout.isatty() else 200).print(scale_table(figures))
    _write_figures(args, max(counts), figures)
    return 0


def _run_transforms(args: argparse.Namespace) -> int:
    count, rounds = args.clips or (_QUICK[0] if args.quick else _TRANSFORMS_CLIPS), args.rounds or (1 if args.quick else 5)
    seconds = args.seconds or (0.02 if args.quick else _TRANSFORMS_SECONDS)
    _make_work_dir(args)
    with Console(stderr=True).status(f"timing transforms on {count:,} clips"):
        rates = bench_transforms(count, args.work_dir, rounds=rounds, seconds=seconds, seed=args.seed)
    print(transforms_table(rates))
    _write_figures(args, count, rates)
    return 0


def _check_mode_options(mode: str, args: argparse.Namespace) -> None:
    """Reject options that a mode would ignore."""
    accepted = {"--open": ("rounds",), "--pad": ("rounds",), "--transforms": ("rounds", "seconds", "seed")}.get(mode, ())
    rejected = {key: value for key, value in (_BATCH_OPTIONS | {"rounds": None}).items() if key not in accepted}
    given = [f"--{name.replace('_', '-')}" for name, default in rejected.items() if getattr(args, name) != default]
    if given:
        raise ConfigError(f"{mode} does not accept {', '.join(given)}; leave {mode} or {given[0]} out")


def _plan(args: argparse.Namespace) -> Plan:
    """Return the plan of the options; explicit ones override `--quick`."""
    if args.seconds is not None and not args.seconds > 0:
        raise ConfigError(f"--seconds {args.seconds}; expected a positive number")
    if args.seed < 0:
        raise ConfigError(f"--seed {args.seed}; expected 0 or more")
    clips, rounds, seconds = _QUICK if args.quick else _FULL
    clips, rounds, seconds = args.clips or clips, args.rounds or rounds, args.seconds or seconds
    if clips < _MIN_CLIPS:
        raise ConfigError(f"--clips {clips}; at least {_MIN_CLIPS} are needed")
    cases = []
    for workers in dict.fromkeys(args.workers):
        if workers < 0:
            raise ConfigError(f"--workers {workers}; expected 0 or more")
        cases += [Case(workers, method) for method in args.start_method] if workers else [Case()]
    return Plan(
        cases=tuple(cases),
        count=clips,
        rounds=rounds,
        seconds=seconds,
        batch_size=min(_BATCH_SIZE, clips // 4),  # with few clips, a batch must not exceed the share of a worker
        seed=args.seed,
        one_process=args.quick,
        cold=args.cold,
    )


@contextmanager
def _work_dir(path: Path | None, clips: int) -> Iterator[Path]:
    """Yield the given folder, or a temporary one.

    Raises:
        ConfigError: If the disk of the temporary folder has too little space for the files of all candidates.
    """
    with tempfile.TemporaryDirectory(prefix="karsl-bench-") as temporary:
        folder = path or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        free, needed = shutil.disk_usage(folder).free, clips * _BYTES_PER_CLIP
        if path is None and free < needed:
            raise ConfigError(
                f"{folder} has {free / 1e9:.1f} GB free and {clips} clips need {needed / 1e9:.1f} GB in all formats; "
                "choose another folder with --work-dir, or fewer --clips"
            )
        yield folder


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not an integer of at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
