"""`karsl convert`: convert clips from one format to another, matching keypoints by name."""

from __future__ import annotations

import argparse
from pathlib import Path

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
from karsl.errors import pluralize

SUMMARY = "convert clips from one format to another, matching keypoints by name"
_DESCRIPTION = """\
Read the clips of SRC and write DST in another format. Keypoints are matched by name, and missing ones stay missing. What the
target format cannot store is reported, one line per kind. DST is written completely or not at all."""
_EXAMPLES = """\
examples:
  karsl convert data/karsl clips.csv --to spoter                  from KArSL's folders to SPOTER's CSV
  karsl convert arrays out/clips --to annotation --layout 'pose:33x4, lh:21x3, rh:21x3'
                                                                  .npy files of 258 columns
  karsl convert msl150 data/msl --to annotation --skeleton mp_75  for KeypointDataset, on a skeleton shared by corpora
  karsl convert old.pkl data/old --to parquet --trust-pickle old.pkl --source-skeleton my_points"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    from karsl.formats import FORMATS
    from karsl.plugins import load_plugins

    load_plugins()
    parser.description = _DESCRIPTION
    parser.epilog = f"{format_table()}\n\n{_EXAMPLES}"
    parser.add_argument("source", metavar="SRC", type=Path, help="file or folder to read")
    parser.add_argument("out", metavar="DST", type=Path, help="file or folder to write, which must not exist")
    parser.add_argument("--to", metavar="FORMAT", required=True, help="format of DST, see the list of formats")
    parser.add_argument("--skeleton", metavar="NAME", help="skeleton of DST (default: that of the format, else that of SRC)")
    add_source(parser, "SRC")
    halves = ", ".join(f.name for f in FORMATS.values() if f.supports_half)
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16"),
        default="float32",
        help=f"float16 halves the size of {halves} (default: %(default)s)",
    )
    add_skip_bad(parser)
    parser.add_argument("--strict", action="store_true", help="exit with status 2 if information would be lost")
    add_hands(parser)
    add_import(parser)


def format_table() -> str:
    """Return the list of formats for `--help`."""
    from karsl.formats import FORMATS

    lines = ["formats (r read, w written):"]
    for entry in FORMATS.values():
        access = f"{'r' if entry.reader else '-'}{'w' if entry.writer else '-'}"
        extra = f"; needs karsl[{entry.extra}]" if entry.extra else ""
        lines += [
            f"  {entry.name:15} {access}  {entry.description}",
            f"{'':21}{'cannot store' if entry.writer else 'reads'}: {entry.cannot_store}{extra}",
        ]
    return "\n".join(lines)


def run(args: argparse.Namespace) -> int:
    """Open, convert and report losses."""
    from karsl.formats import convert, get_format
    from karsl.progress import tracker

    import_user_modules(args.imports)
    get_format(args.to)  # fail before a long scan
    source = open_source(args, args.source, skip_bad=args.skip_bad)
    result = convert(
        repair_hands(args, source),
        args.out,
        args.to,
        skeleton=args.skeleton,
        strict=args.strict,
        dtype=args.dtype,
        progress=tracker("converting"),
        skip_bad=args.skip_bad,
    )
    paths = [result.path] if result.path.is_file() else [p for p in result.path.rglob("*") if p.is_file()]
    size = sum(path.stat().st_size for path in paths)
    print(f"{pluralize(result.num_clips, 'clip')}, {size / 2**20:.1f} MiB in {result.path}")
    print_skipped(args.source, result.problems)
    for line in result.losses:
        print(f"lost: {line}")
    for line in result.notes:
        print(f"note: {line}")
    if args.to == "annotation":
        print(f"to use it: KeypointDataset(ann_file='annotations.json', data_root={str(result.path)!r})")
    return 0
