"""`karsl bench`: how fast clips become batches, in the ways people use, in ours, and at the limit of the machine."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from karsl.progress import step_bar

if TYPE_CHECKING:
    from karsl.analysis.bench import Result

SUMMARY = "time ways from clips to batches, side by side"

_FULL, _QUICK = (6000, 5, 3.0), (300, 1, 0.2)  # clips, rounds, seconds
_LEAST_CLIPS, _BATCH_SIZE = 60, 64
_START_METHODS = ("fork", "spawn", "forkserver")
_BYTES_PER_CLIP = 1 << 20  # nine copies of 112 kB
# Options that --index and --open do not take, and what they are when nobody gives them.
_OF_BATCHES: dict[str, Any] = {
    "only": (),
    "seconds": None,
    "workers": (0, 2),
    "start_method": ("fork",),
    "cold": False,
    "seed": 0,
}
_OF_BATCHES |= {"plot": None, "lazy": False, "stream": False}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `karsl bench`."""
    parser.add_argument("--only", nargs="+", default=(), metavar="WAY", help="only these ways; a wrong name lists them")
    parser.add_argument("--quick", action="store_true", help="300 clips, one short round: under a minute, not for comparing")
    parser.add_argument("--clips", type=_positive, metavar="N", help="synthetic clips (default: 6000)")
    parser.add_argument(
        "--rounds", type=_positive, metavar="N", help="measurements of each, interleaved (default: 5; --open: 3)"
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="length of a measurement (default: 3)")
    parser.add_argument(
        "--workers",
        type=int,
        nargs="+",
        default=_OF_BATCHES["workers"],
        metavar="N",
        help="worker processes (default: 0 and 2)",
    )
    parser.add_argument(
        "--start-method",
        nargs="+",
        choices=_START_METHODS,
        default=_OF_BATCHES["start_method"],
        help="of the workers (default: fork)",
    )
    parser.add_argument("--cold", action="store_true", help="drop the files from the page cache first, read one epoch")
    parser.add_argument("--seed", type=int, default=0, help="of clips, order and draws (default: 0)")
    parser.add_argument(
        "--work-dir", type=Path, help="folder to write the clips to, and to use again (default: a temporary one, removed)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="file to write every reading to")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="file to draw the rates to; .png, .svg or .pdf")
    parser.add_argument("--lazy", action="store_true", help="only a pack and the same through nested combinators")
    parser.add_argument("--stream", action="store_true", help="only streams and mapped tars, and WebDataset's own loader")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--index", action="store_true", help="time the index of 1,000,000 records instead of batches")
    start.add_argument("--open", action="store_true", help="time folders and a pack of 75,300 clips up to the first batch")


def run(args: argparse.Namespace) -> int:
    """Write the files of every way, measure, show."""
    if args.index or args.open:
        from karsl.cli.bench_start import index, opening

        _check_start(args)
        return index(args) if args.index else opening(args)
    result = _measure(args)
    _print(result)
    if args.json:
        result.write(args.json)
        print(f"readings: {args.json}")
    if args.plot:
        from karsl.analysis.bench.plot import draw_result

        draw_result(result, args.plot)
        print(f"plot: {args.plot}")
    return 1 if result.failed else 0


def _measure(args: argparse.Namespace) -> Result:
    """Every way that was asked for and can run here.

    Raises:
        ConfigError: None can, or an option is out of range.
        MissingExtraError: A plot is asked for, and matplotlib is absent.
    """
    from karsl.analysis.bench import choose_ways, run_plan
    from karsl.analysis.bench.result import STREAMS
    from karsl.analysis.plotting import need_matplotlib
    from karsl.errors import ConfigError

    plan = _plan(args)
    if args.plot:
        need_matplotlib()  # before minutes of work, not after
    lazy = ("karsl", "karsl-combined") if args.lazy else ()
    ways, skipped = choose_ways((*lazy, *((*STREAMS, "webdataset") if args.stream else ()), *args.only))
    if not ways:
        raise ConfigError("; ".join(f"{name}: {reason}" for name, reason in skipped.items()))
    with _work_dir(args.work_dir, plan.count) as folder, step_bar(plan.steps(ways)) as say:
        result = run_plan(plan, ways, folder, say=say)
    result.skipped = skipped
    return result


def _print(result: Result) -> None:
    from rich.console import Console

    from karsl.analysis.bench.report import notes, result_table, stages_table

    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(result_table(result))
    if result.stages:
        console.print(stages_table(result))
    print("\n".join(notes(result)))


def _check_start(args: argparse.Namespace) -> None:
    """Refuse options that `--index` or `--open` would not heed."""
    from karsl.errors import ConfigError

    mode, takes_no = ("--index", _OF_BATCHES | {"rounds": None}) if args.index else ("--open", _OF_BATCHES)
    given = [f"--{name.replace('_', '-')}" for name, default in takes_no.items() if getattr(args, name) != default]
    if given:
        raise ConfigError(f"{mode} times no batches and takes no {', '.join(given)}; leave {mode} or {given[0]} out")


def _plan(args: argparse.Namespace):
    """The plan that the options ask for; those given win over `--quick`."""
    from karsl.analysis.bench import Case, Plan
    from karsl.errors import ConfigError

    if args.seconds is not None and not args.seconds > 0:
        raise ConfigError(f"--seconds {args.seconds}; expected a positive number")
    if args.seed < 0:
        raise ConfigError(f"--seed {args.seed}; expected 0 or more")
    clips, rounds, seconds = _QUICK if args.quick else _FULL
    clips, rounds, seconds = args.clips or clips, args.rounds or rounds, args.seconds or seconds
    if clips < _LEAST_CLIPS:
        raise ConfigError(f"--clips {clips}; at least {_LEAST_CLIPS} are needed")
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
        batch_size=min(_BATCH_SIZE, clips // 4),  # a batch of few clips must not be more than a worker has
        seed=args.seed,
        one_process=args.quick,
        cold=args.cold,
    )


@contextmanager
def _work_dir(given: Path | None, clips: int) -> Iterator[Path]:
    """The folder that was given, or a temporary one.

    Raises:
        ConfigError: The disk has no room for all ways' files.
    """
    import shutil

    from karsl.errors import ConfigError

    with tempfile.TemporaryDirectory(prefix="karsl-bench-") as temporary:
        folder = given or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if given is None and free < clips * _BYTES_PER_CLIP:
            raise ConfigError(
                f"{folder} has {free / 1e9:.1f} GB free and {clips} clips take {clips * _BYTES_PER_CLIP / 1e9:.1f} GB in "
                "all forms; name another folder with --work-dir, or fewer --clips"
            )
        yield folder


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return value
