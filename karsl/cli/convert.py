"""`karsl convert`: bring clips from one form on disk to another, by the names of their points."""

from __future__ import annotations

import argparse
from pathlib import Path

from karsl.cli.options import add_import, add_label_sheet, add_source_skeleton, add_trust_pickle, import_modules
from karsl.progress import tracker

SUMMARY = "bring clips from one form to another, by the names of their points"
_DESCRIPTION = """\
Read the clips of SRC and write DST in another form. Points are found by name, missing ones stay missing, and what the
target cannot hold is said in one line for each kind. DST appears when all of it is written, or not at all."""
_EXAMPLES = """\
examples:
  karsl convert data/karsl clips.csv --to spoter                  from KArSL's folders to SPOTER's CSV
  karsl convert msl150 data/msl --to annotation --skeleton mp_75  what KeypointDataset reads, on a skeleton you share
  karsl convert old.pkl data/old --to parquet --trust-pickle old.pkl --source-skeleton my_points"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    from karsl.storage.convert.forms import FORMS

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = _DESCRIPTION
    parser.epilog = f"{form_table()}\n\n{_EXAMPLES}"
    parser.add_argument("source", metavar="SRC", type=Path, help="file or folder to read")
    parser.add_argument("out", metavar="DST", type=Path, help="file or folder to write; must not exist")
    parser.add_argument("--to", metavar="FORM", required=True, help="form of DST; --help ends with the table of forms")
    parser.add_argument("--from", dest="form", metavar="FORM", help="form of SRC (default: guessed)")
    parser.add_argument("--skeleton", metavar="NAME", help="points to write (default: those of the form, else of SRC)")
    add_source_skeleton(parser, "SRC")
    halves = ", ".join(f.name for f in FORMS.values() if f.takes_half)
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16"),
        default="float32",
        help=f"float16 halves the bytes of {halves} (default: %(default)s)",
    )
    parser.add_argument("--strict", action="store_true", help="refuse to write when something would be lost")
    add_label_sheet(parser)
    add_trust_pickle(parser)
    add_import(parser)


def form_table() -> str:
    """The table of forms for `--help`."""
    from karsl.storage.convert.forms import FORMS

    lines = ["forms (r read, w written):"]
    for form in FORMS.values():
        ways = ("r" if form.reader else "-") + ("w" if form.writer else "-")
        needs = f"; needs karsl[{form.needs}]" if form.needs else ""
        lines += [
            f"  {form.name:15} {ways}  {form.layout}",
            f"{'':21}{'loses' if form.writer else 'read'}: {form.loses}{needs}",
        ]
    return "\n".join(lines)


def run(args: argparse.Namespace) -> int:
    """Open, convert, say what was lost."""
    from karsl.storage.convert import convert_clips, open_source
    from karsl.storage.convert.forms import find_form

    import_modules(args.imports)
    find_form(args.to)  # before a long scan
    source = open_source(
        args.source,
        form=args.form,
        skeleton=args.source_skeleton,
        trusted=args.trust_pickle,
        label_sheet=args.label_sheet,
        progress=tracker("listing clips"),
    )
    done = convert_clips(
        source,
        args.out,
        args.to,
        skeleton=args.skeleton,
        strict=args.strict,
        dtype=args.dtype,
        progress=tracker("converting"),
    )
    paths = [done.path] if done.path.is_file() else [p for p in done.path.rglob("*") if p.is_file()]
    size = sum(path.stat().st_size for path in paths)
    print(f"{done.num_clips} clips, {size / 2**20:.1f} MiB in {done.path}")
    for line in done.losses:
        print(f"lost: {line}")
    for line in done.notes:
        print(f"note: {line}")
    if args.to == "annotation":
        print(f"to use it: KeypointDataset(ann_file='annotations.json', data_root={str(done.path)!r})")
    return 0
