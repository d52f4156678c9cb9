"""`karsl pack`: put all clips of a source into mapped shards, which batches are read from at memory speed."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

from karsl.cli.options import add_import, add_label_sheet, add_source_skeleton, add_trust_pickle, import_modules
from karsl.progress import bar, tracker

SUMMARY = "put clips into mapped shards; add, remove, verify"

_DESCRIPTION = """\
Write every clip of SOURCE to PACK: shards that np.load maps, annotations.json, and manifest.json with checksums. Train from
it with data_root=PACK and ann_file='annotations.json'. An interrupted run goes on when the same command is given again;
PACK, which must be empty, not there or a pack, appears when it is complete."""
EPILOG = """examples:
  karsl pack data/karsl packed/karsl                              a data root of KArSL
  karsl pack clips.pkl packed/clips --trust-pickle clips.pkl --source-skeleton coco_17
                                                                  pyskl's pickle, whose 17 points it does not name
  karsl pack data/karsl packed/hands --skeleton hand_42           the hands alone
  karsl pack data/more packed/karsl --append                      clips that the pack lacks
  karsl pack --verify packed/karsl                                every byte against its checksum
  karsl train CONFIG --data-root packed/karsl --ann-file annotations.json
"""
_GIB = 1 << 30
_FEW_CLIPS = 2000  # fewer are packed before worker processes have started
_MOST_WORKERS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.usage = (
        "karsl pack SOURCE PACK [options] | karsl pack --verify PACK | karsl pack PACK --remove CLIP_ID [CLIP_ID ...]"
    )
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("paths", type=Path, nargs="+", metavar="SOURCE PACK", help=(
        "a data root, an annotation file, a pack or any form that 'karsl convert' reads; and the folder of the pack"
    ))  # fmt: skip
    act = parser.add_mutually_exclusive_group()
    act.add_argument("--append", action="store_true", help="add the clips of SOURCE that PACK lacks")
    act.add_argument("--replace", action="store_true", help="make PACK anew; end trainings on the old one first")
    act.add_argument(
        "--remove", nargs="+", metavar="CLIP_ID", help="take clips out of PACK; a new pack of PACK frees their room"
    )
    act.add_argument("--verify", action="store_true", help="compare all bytes of PACK with its checksums")
    parser.add_argument("--dtype", choices=("float16", "float32"), help="float16 halves the bytes (default: float16)")
    parser.add_argument(
        "--shard-size",
        type=float,
        default=1.0,
        metavar="GIB",
        help="of a file, at most; 0 is one file (default: %(default)s)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: the cores, 0 for few clips)")
    parser.add_argument("--ray", nargs="?", const="", metavar="ADDRESS", help=(
        "pack on a Ray cluster, whose nodes all have SOURCE and PACK on these paths; without an address, or RAY_ADDRESS, on "
        "a Ray of this machine; --workers is then how many blocks are written at once (default: 8)"
    ))  # fmt: skip
    parser.add_argument(
        "--from", dest="form", metavar="FORM", help="form of SOURCE, as in 'karsl convert' (default: guessed)"
    )
    add_source_skeleton(parser, "SOURCE")
    parser.add_argument("--skeleton", metavar="NAME", help="points to pack (default: those of SOURCE)")
    add_label_sheet(parser)
    add_trust_pickle(parser)
    add_import(parser)


def run(args: argparse.Namespace) -> int:
    """What the options ask for."""
    from karsl.errors import ConfigError

    alone = args.verify or args.remove
    if len(args.paths) != (1 if alone else 2):
        wanted = "PACK alone" if alone else "SOURCE and PACK"
        raise ConfigError(f"{len(args.paths)} paths given, expected {wanted}; see 'karsl pack --help'")
    if args.verify:
        return _verify(args.paths[0])
    return _remove(args.paths[0], args.remove) if args.remove else _pack(args)


def _pack(args: argparse.Namespace) -> int:
    from karsl.errors import ConfigError

    if args.shard_size < 0 or (args.workers or 0) < 0:
        raise ConfigError(f"--shard-size {args.shard_size} --workers {args.workers}; expected 0 or more")
    import_modules(args.imports)
    source, out = _open(args), args.paths[1]
    for note in source.notes:
        print(f"note: {note}")
    with bar("packing", len(source.records)) as tell:
        done = _packer(args, len(source.records))(
            source,
            out,
            dtype=args.dtype,
            shard_bytes=int(args.shard_size * _GIB),
            mode="append" if args.append else "replace" if args.replace else "new",
            tell=tell,
        )
    _report(done, out)
    return 0


def _open(args: argparse.Namespace) -> Any:
    """The clips, on the points that are to be packed."""
    from karsl.skeletons import get_skeleton
    from karsl.storage.convert import open_source
    from karsl.storage.convert.mapped import MappedClips

    source = open_source(
        args.paths[0] if args.ray is None else args.paths[0].resolve(),
        form=args.form,
        skeleton=args.source_skeleton or args.skeleton,
        label_sheet=args.label_sheet,
        trusted=args.trust_pickle,
        progress=tracker("listing clips"),
    )
    wanted = get_skeleton(args.skeleton) if args.skeleton else source.skeleton
    return source if wanted == source.skeleton else MappedClips(source, wanted)


def _packer(args: argparse.Namespace, clips: int) -> Callable:
    if args.ray is None:
        from karsl.storage.pack.writer import pack_clips

        return partial(pack_clips, workers=_workers(args.workers, clips))
    from karsl.remote import pack_on_ray

    return partial(pack_on_ray, address=args.ray or None, num_tasks=args.workers or _MOST_WORKERS)


def _report(done, out: Path) -> None:
    manifest = done.manifest
    if done.kept_shards:
        print(f"{done.kept_shards} shards were kept from an interrupted run")
    if done.present:
        print(f"{done.present} clips were in the pack before")
    size = sum(facts.bytes for _, _, facts in manifest.files())
    shards = f"{len(manifest.shards)} shard{'s' if len(manifest.shards) > 1 else ''}"
    print(f"{done.added} clips packed")
    print(f"{manifest.num_clips} clips, {size / 2**20:.0f} MiB of {manifest.dtype}, {shards} in {out}")
    rounding = max(shard.rounding for shard in manifest.shards)
    if rounding:
        print(f"largest rounding to {manifest.dtype}: {rounding:.2g}")
    print(f"train from it with data_root={str(out)!r}, ann_file={done.annotations.name!r}")


def _verify(pack: Path) -> int:
    from karsl.errors import DataErrors
    from karsl.storage.pack.manifest import Manifest
    from karsl.storage.pack.verify import verify_pack

    total = sum(facts.bytes for _, _, facts in Manifest.read(pack).files())
    with bar("verifying, bytes", total) as tell:
        problems = verify_pack(pack, tell=tell)
    if problems:
        raise DataErrors(str(pack), problems)
    manifest = Manifest.read(pack)
    print(
        f"every byte is what was written: {manifest.num_clips} clips, {len(manifest.shards)} shards, {total / 2**20:.0f} MiB"
    )
    return 0


def _remove(pack: Path, clip_ids: list[str]) -> int:
    from karsl.storage.pack.edit import remove_clips

    manifest = remove_clips(pack, clip_ids)
    gone = sum(len(shard.removed) for shard in manifest.shards)
    print(f"{len(clip_ids)} clips taken out of {pack}, {manifest.num_clips} left")
    print(f'the frames of {gone} clips still take room; "karsl pack {quote(str(pack))} NEW" leaves them behind')
    return 0


def _workers(given: int | None, clips: int) -> int:
    if given is not None:
        return given
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if clips < _FEW_CLIPS or cores == 1 else min(cores, _MOST_WORKERS)
