"""`karsl extract`: find keypoints in videos and folders of pictures."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from karsl.cli.options import add_import, add_label_sheet, import_user_modules
from karsl.errors import ConfigError, pluralize

if TYPE_CHECKING:
    from karsl.extract.run import ExtractionReport

SUMMARY = "find keypoints in videos and folders of pictures"

_DESCRIPTION = """\
Find the keypoints in every video below SOURCE, or in every folder of pictures, and write them to OUT: one array per clip,
annotations.json, and report.json with doubts and failures. SOURCE is a video, a folder such as a tree of KArSL or
<class>/<video>, or a CSV list with the column 'path'. Repeat the command to resume an interrupted run, or to retry the clips
that failed. The exit status is 1 if any failed."""
_EPILOG = """examples:
  karsl extract --fetch-models                            once: download MediaPipe's networks, 18 MiB
  karsl extract KArSL-videos data/karsl                   the 184 keypoints of KArSL
  karsl extract videos data/clips --skeleton holistic_543
  karsl extract videos packed/clips --to pack             a pack instead of one array per clip
  karsl extract videos data/clips --extractor wholebody --models rtmw.onnx --skeleton coco_wholebody_133
  karsl browse data/karsl --video                         the keypoints over the frames
"""
_MAX_LISTED = 20
_LOG_INTERVAL_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.usage = "karsl extract SOURCE OUT [options] | karsl extract --fetch-models"
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    parser.add_argument(
        "paths", type=Path, nargs="*", metavar="SOURCE OUT", help="video, folder or .csv list; folder to write"
    )
    parser.add_argument(
        "--fetch-models",
        action="store_true",
        help="download MediaPipe's networks with pip, out of a wheel that is not installed, and check their SHA-256",
    )
    _add_extractor(parser.add_argument_group("keypoints"))
    group = parser.add_argument_group("run")
    group.add_argument(
        "--to", choices=("annotation", "pack"), default="annotation", help="form of OUT (default: %(default)s)"
    )
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes, each with its own networks (about 270 MiB); 0 uses this one (default: number of cores, 1 on a GPU)",
    )
    group.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="extract on a Ray cluster whose nodes have SOURCE and OUT at the same paths; --workers is then the number of "
        "clips at a time",
    )
    add_label_sheet(parser)
    add_import(parser)


def _add_extractor(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--skeleton", metavar="NAME", default="karsl_184", help="skeleton to write, by keypoint names (default: %(default)s)"
    )
    group.add_argument(
        "--extractor",
        metavar="NAME",
        default="holistic",
        help="holistic, wholebody for an ONNX network of 133 keypoints, or of --import (default: %(default)s)",
    )
    group.add_argument(
        "--models",
        type=Path,
        metavar="FILE",
        help="networks: wheel of mediapipe, tarball of npm's @mediapipe/holistic, .task bundle or folder of them; for "
        "wholebody an .onnx file (default: those of --fetch-models)",
    )
    group.add_argument(
        "--pose",
        choices=("full", "lite", "heavy"),
        help="pose network of holistic; lite and heavy are in npm's tarball only",
    )
    group.add_argument("--engine", choices=("litert", "torch"), help="library that runs holistic (default: litert on a CPU)")
    group.add_argument("--device", default="cpu", help="'cpu', or a device of torch such as 'cuda' (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Download the networks or extract."""
    if args.fetch_models:
        if args.paths:
            raise ConfigError("--fetch-models takes no SOURCE and OUT; run the command again without it to extract")
        return _fetch()
    if len(args.paths) != 2:
        raise ConfigError(f"{len(args.paths)} paths given, expected SOURCE and OUT; see 'karsl extract --help'")
    if (args.workers or 0) < 0:
        raise ConfigError(f"--workers {args.workers}; expected 0 or more")
    import_user_modules(args.imports)
    source, out = args.paths[0], args.paths[1].resolve()
    if args.to == "annotation":
        return _report(_extract(args, source, out), out, out)
    work = out.with_name(f".{out.name}.extraction")  # of the clips, until all of them are packed
    _check_pack(out, work)
    report = _extract(args, source, work)
    if report.clips:
        _pack(work, out)
    return _report(report, out, work)


def _fetch() -> int:
    from karsl.extract.networks import fetch_networks

    folder = fetch_networks()
    files = list(folder.glob("*.tflite"))
    print(f"{len(files)} networks, {sum(file.stat().st_size for file in files) / 2**20:.0f} MiB, in {folder}")
    return 0


def _extract(args: argparse.Namespace, source: Path, out: Path) -> ExtractionReport:
    from karsl.extract import extract_clips, list_videos, make_extractor
    from karsl.io.labels import find_label_table, read_label_table
    from karsl.skeletons import get_skeleton

    skeleton = get_skeleton(args.skeleton)
    options = {key: value for key in ("pose", "engine") if (value := getattr(args, key)) is not None}
    if options and args.extractor != "holistic":
        raise ConfigError(f"--{next(iter(options))} is for the extractor holistic, not {args.extractor!r}; remove it")
    extractor = make_extractor(args.extractor, models=args.models, device=args.device, wanted=skeleton.names, **options)
    videos = list_videos(source)
    has_signs = any("sign" in video.metadata for video in videos.videos)
    sheet = args.label_sheet or (find_label_table(videos.root) if has_signs else None)
    workers = _num_workers(args, len(videos.videos))
    pool = None
    if args.ray is not None:
        from karsl.ray.pack import RayBlocks
        from karsl.ray.session import connect

        connect(args.ray or None)
        pool = RayBlocks(max(workers, 1), num_cpus=1.0)
    print(f"{pluralize(len(videos.videos), 'clip')} in {source}, {pluralize(workers, 'worker')}", flush=True)
    with _show_progress(len(videos.videos)) as progress:
        return extract_clips(
            videos,
            out,
            extractor,
            skeleton,
            workers=workers,
            pool=pool,
            label_table=read_label_table(sheet) if sheet else None,
            progress=progress,
        )


@contextmanager
def _show_progress(total: int) -> Iterator[Callable[[str, int], None]]:
    """Show a bar on a terminal, and print a line per minute to the log of a batch job."""
    from karsl.progress import step_bar

    if sys.stderr.isatty():
        with step_bar(total) as step:
            yield step
        return
    start = last = time.monotonic()
    done = extracted = 0

    def log(description: str, num_done: int) -> None:
        nonlocal done, extracted, last
        now = time.monotonic()
        done += num_done
        extracted += num_done if description != "extracting" else 0  # clips of earlier runs take no time
        if extracted and done < total and now - last >= _LOG_INTERVAL_S:
            last = now
            minutes = (now - start) / extracted * (total - done) / 60
            print(f"{done}/{pluralize(total, 'clip')}, {description}, {minutes:.0f} min left", file=sys.stderr, flush=True)

    yield log


def _num_workers(args: argparse.Namespace, clips: int) -> int:
    if args.workers is not None:
        return args.workers
    if args.device != "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, clips) if clips > 1 else 0


def _check_pack(out: Path, work: Path) -> None:
    """Reject a folder that contains something else than the pack of an earlier, incomplete run."""
    if out.exists() and (out.is_file() or any(out.iterdir())) and not work.exists():
        raise ConfigError(f"{out} exists; choose another name, or extract to a folder and add it with 'karsl pack --append'")


def _pack(work: Path, out: Path) -> None:
    from karsl.formats import open_clips
    from karsl.io.annotations import MANIFEST
    from karsl.pack.write import pack_clips
    from karsl.progress import bar

    source = open_clips(work, format="annotation")
    with bar("packing", len(source.records)) as progress:
        pack_clips(source, out, mode="replace" if (out / MANIFEST).exists() else "new", progress=progress)


def _report(report: ExtractionReport, out: Path, work: Path) -> int:
    """Print what was extracted and what was not; a pack replaces its folder of clips if all were extracted."""
    from karsl.extract.run import REPORT

    path = out / REPORT if work == out else out.with_name(f"{out.name}.{REPORT}")
    if report.frames_per_s:
        print(
            f"{report.frames_per_s:.1f} frames/s, {report.frames_per_cpu_s:.1f} per second of processor time, "
            f"{report.seconds:.0f} s"
        )
    if report.resumed:
        print(f"{pluralize(report.resumed, 'clip')} had been extracted before")
    for note in report.notes:
        print(f"note: {note}")
    _print_listed("doubtful", {clip: "; ".join(clauses) for clip, clauses in report.doubts.items()}, path)
    missing = ", ".join(f"{side.replace('_', ' ')} {share:.0%}" for side, share in report.missing_hands.items())
    print(
        f"{pluralize(report.clips, 'clip')}, {pluralize(report.frames, 'frame')} in "
        f"{out}{f'; frames without {missing}' * bool(missing)}"
    )
    if work != out:
        shutil.copyfile(work / REPORT, path)
        if not report.failures:
            shutil.rmtree(work)
    if report.clips:
        print(f"look at them: karsl browse {quote(str(out))} --video")
        print(f"train from them with data_root={str(out)!r}, ann_file='annotations.json'")
    if not report.failures:
        return 0
    _print_listed("failed", report.failures, path, file=sys.stderr)
    print(f"{pluralize(len(report.failures), 'clip')} failed; the same command tries them again", file=sys.stderr)
    return 1


def _print_listed(what: str, sentences: dict[str, str], path: Path, **options: Any) -> None:
    write = partial(print, **options)
    for clip in list(sentences)[:_MAX_LISTED]:
        write(f"{what}: {clip}: {sentences[clip]}")
    if len(sentences) > _MAX_LISTED:
        write(f"{what}: {len(sentences) - _MAX_LISTED} more, see {path}")
