"""`karsl pack`: write clips to memory-mapped shards; append, remove, verify."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from karsl.cli.options import (
    add_hands,
    add_import,
    add_skip_bad,
    add_source,
    import_user_modules,
    open_source,
    print_skipped,
    repair_hands,
)
from karsl.errors import ConfigError, DataErrors, pluralize

if TYPE_CHECKING:
    from karsl.pack.write import PackResult

SUMMARY = "write clips to memory-mapped shards; append, remove, verify"

_DESCRIPTION = """\
Write every clip of SOURCE to PACK: shards that np.load can map, annotations.json, and manifest.json with checksums. Train
from it with data_root=PACK and ann_file='annotations.json'. Repeat the command to resume an interrupted run. PACK must be a
new or empty folder, unless --append or --replace is given; it appears when it is complete."""
EPILOG = """examples:
  karsl pack data/karsl packed/karsl                              a data root of KArSL
  karsl pack clips.pkl packed/clips --trust-pickle clips.pkl --source-skeleton coco_17
                                                                  a pickle of pyskl, which does not name its 17 keypoints
  karsl pack data/karsl packed/hands --skeleton hand_42           only the hands
  karsl pack data/more packed/karsl --append                      clips that the pack lacks
  karsl pack --verify packed/karsl                                compare every byte with its checksum
  karsl train CONFIG --data-root packed/karsl --ann-file annotations.json
"""
_GIB = 1 << 30
_MIN_CLIPS = 2000  # fewer clips are packed faster than worker processes start
_MAX_WORKERS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.usage = (
        "karsl pack SOURCE PACK [options]\n"
        "       karsl pack --verify PACK\n"
        "       karsl pack PACK --remove CLIP_ID [CLIP_ID ...]"
    )
    parser.description = _DESCRIPTION
    parser.epilog = EPILOG
    parser.add_argument(
        "paths",
        type=Path,
        nargs="+",
        metavar="SOURCE PACK",
        help="data root, annotation file, pack or any format that 'karsl convert' reads; then the folder of the pack",
    )
    _add_actions(parser)
    _add_output(parser)
    add_source(parser, "SOURCE")
    parser.add_argument(
        "--skeleton", metavar="NAME", help="skeleton of PACK, matched by keypoint names (default: that of SOURCE)"
    )
    add_skip_bad(parser)
    add_hands(parser)
    add_import(parser)


def _add_actions(parser: argparse.ArgumentParser) -> None:
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--append", action="store_true", help="add the clips of SOURCE that PACK lacks")
    action.add_argument("--replace", action="store_true", help="write PACK again; stop training runs that use it first")
    action.add_argument(
        "--remove",
        nargs="+",
        metavar="CLIP_ID",
        help="remove clips from PACK; pack PACK into a new folder to free their space",
    )
    action.add_argument("--verify", action="store_true", help="compare all bytes of PACK with its checksums")


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dtype",
        choices=("float16", "float32"),
        help="float16 halves the size (default: float16; with --append that of PACK)",
    )
    parser.add_argument(
        "--card",
        action="store_true",
        help="write README.md, a dataset card with content, splits, skeleton, license to fill in",
    )
    parser.add_argument(
        "--shard-size",
        type=float,
        default=1.0,
        metavar="GIB",
        help="maximum size of a shard in GiB; 0 writes one shard (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help=f"worker processes (default: number of cores, at most {_MAX_WORKERS}; 0 for fewer than {_MIN_CLIPS} clips)",
    )
    parser.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="pack on a Ray cluster whose nodes have SOURCE and PACK at the same paths; without an address or RAY_ADDRESS, "
        f"Ray starts on this machine; --workers is then the number of blocks written at a time (default: {_MAX_WORKERS})",
    )


def run(args: argparse.Namespace) -> int:
    """Pack, verify or remove, as the options request."""
    single = args.verify or args.remove
    if len(args.paths) != (1 if single else 2):
        expected = "PACK only" if single else "SOURCE and PACK"
        raise ConfigError(f"{len(args.paths)} paths given, expected {expected}; see 'karsl pack --help'")
    if args.verify:
        return _verify(args.paths[0])
    return _remove(args.paths[0], args.remove) if args.remove else _pack(args)


def _pack(args: argparse.Namespace) -> int:
    from karsl.io.sources import marker_notes, readable_clips
    from karsl.progress import bar, tracker

    if args.shard_size < 0 or (args.workers or 0) < 0:
        raise ConfigError(f"--shard-size {args.shard_size} --workers {args.workers}; expected 0 or more")
    import_user_modules(args.imports)
    source, out = _open(args), args.paths[1]
    problems = list(source.problems)
    if args.skip_bad:
        source, unreadable = readable_clips(source, tracker("checking clips"))
        problems += unreadable
        if not source.records:
            raise DataErrors(str(args.paths[0]), problems, "no clip is left")
    for note in (*source.notes, *marker_notes(source)):
        print(f"note: {note}")
    with bar("packing", len(source.records)) as progress:
        done = _packer(args, len(source.records))(
            source,
            out,
            dtype=args.dtype,
            shard_bytes=int(args.shard_size * _GIB),
            mode="append" if args.append else "replace" if args.replace else "new",
            progress=progress,
        )
    print_skipped(args.paths[0], problems)
    _report(done, out)
    if args.card:
        from karsl.pack.card import CARD, write_card

        card = write_card(out)
        print(f"{out / CARD} exists and is not changed" if card is None else f"dataset card: {card}, fill in its license")
    return 0


def _open(args: argparse.Namespace) -> Any:
    """Open the source on the skeleton to pack."""
    from karsl.io.sources import RemappedSource
    from karsl.skeletons import get_skeleton

    path = args.paths[0] if args.ray is None else args.paths[0].resolve()
    source = repair_hands(args, open_source(args, path, skeleton=args.skeleton, skip_bad=args.skip_bad))
    target = get_skeleton(args.skeleton) if args.skeleton else source.skeleton
    return source if target == source.skeleton else RemappedSource(source, target)


def _packer(args: argparse.Namespace, clips: int) -> Callable:
    if args.ray is None:
        from karsl.pack.write import pack_clips

        return partial(pack_clips, workers=_num_workers(args.workers, clips))
    from karsl.ray import pack_on_ray

    return partial(pack_on_ray, address=args.ray or None, num_tasks=args.workers or _MAX_WORKERS)


def _report(done: PackResult, out: Path) -> None:
    manifest = done.manifest
    if done.reused_shards:
        print(f"{pluralize(done.reused_shards, 'shard')} reused from an interrupted run")
    if done.duplicates:
        print(f"{pluralize(done.duplicates, 'clip')} already in the pack")
    size = sum(file.bytes for file in manifest.files().values())
    print(f"{pluralize(done.added, 'clip')} packed")
    shards = pluralize(len(manifest.shards), "shard")
    print(f"{pluralize(manifest.num_clips, 'clip')}, {size / 2**20:.0f} MiB of {manifest.dtype}, {shards} in {out}")
    rounding = max(shard.rounding for shard in manifest.shards)
    if rounding:
        print(f"largest rounding to {manifest.dtype}: {rounding:.2g}")
    print(f"train from it with data_root={str(out)!r}, ann_file={done.annotations.name!r}")


def _verify(pack: Path) -> int:
    from karsl.pack.manifest import Manifest
    from karsl.pack.verify import verify_pack
    from karsl.progress import bar

    manifest = Manifest.read(pack)
    total = sum(file.bytes for file in manifest.files().values())
    with bar("verifying, bytes", total) as progress:
        problems = verify_pack(pack, progress=progress)
    if problems:
        raise DataErrors(str(pack), problems)
    shards = pluralize(len(manifest.shards), "shard")
    print(f"all checksums match: {pluralize(manifest.num_clips, 'clip')}, {shards}, {total / 2**20:.0f} MiB")
    return 0


def _remove(pack: Path, clip_ids: list[str]) -> int:
    from karsl.pack.edit import remove_clips

    manifest = remove_clips(pack, clip_ids)
    removed = sum(len(shard.removed) for shard in manifest.shards)
    print(f"{pluralize(len(clip_ids), 'clip')} removed from {pack}, {manifest.num_clips} left")
    kept = pluralize(removed, "removed clip")
    print(f'disk space is still used by {kept}; "karsl pack {quote(str(pack))} NEW" writes a pack without them')
    return 0


def _num_workers(requested: int | None, clips: int) -> int:
    if requested is not None:
        return requested
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if clips < _MIN_CLIPS or cores == 1 else min(cores, _MAX_WORKERS)
