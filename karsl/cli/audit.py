"""`karsl audit`: find faults in the clips of a corpus."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from karsl.cli.options import add_import, add_source, import_user_modules, open_source
from karsl.errors import DataErrors, pluralize

if TYPE_CHECKING:
    from karsl.audit.report import AuditReport
    from karsl.io.sources import ClipSource

SUMMARY = "find faults in the clips of a corpus, and list the clips to leave out"
EPILOG = """examples:
  karsl audit data/karsl                                          a data root, as text
  karsl audit packed/karsl --html audit.html                      a pack, as a page with pictures of the worst clips
  karsl audit data/karsl --write-exclude data/karsl/exclude.txt   then filter_cfg=dict(exclude="exclude.txt")
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.description = (
        "Read every clip of SOURCE once, and report copies, hands at the wrong arms, clips that are frozen, empty, in\n"
        "another unit, mirrored, misfiled and more, and what was not read. Nothing in SOURCE is changed. The exit status\n"
        "is 1 if there are problems."
    )
    parser.epilog = EPILOG
    parser.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="data root, pack, annotation file, or any format that 'karsl convert' reads",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots and pictures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all findings with the names of all clips")
    parser.add_argument(
        "--write-exclude",
        type=Path,
        metavar="FILE",
        help='write the names of clips that should not be used; filter_cfg=dict(exclude="FILE") leaves them out',
    )
    add_source(parser, "SOURCE", "--skeleton")
    add_import(parser)


def run(args: argparse.Namespace) -> int:
    """Audit, print, and write the requested files."""
    from karsl.audit.corpus import audit_clips
    from karsl.audit.problems import join_problems
    from karsl.progress import tracker

    import_user_modules(args.imports)
    try:
        source = open_source(args, args.source, skip_bad=True)
    except DataErrors as error:  # of all clips
        raise DataErrors(error.where, join_problems(error.problems), error.remedy) from error
    report = audit_clips(source, name=str(args.source), progress=tracker("reading clips"))
    for line in report.lines():
        print(line)
    _write_files(args, report, source)
    return 1 if report.has_problems else 0


def _write_files(args: argparse.Namespace, report: AuditReport, source: ClipSource) -> None:
    if args.json:
        _write(args.json, [json.dumps(report.to_json(), ensure_ascii=False, indent=1)])
        print(f"findings: {args.json}")
    if args.write_exclude:
        left_out = report.left_out()
        kinds = sorted(set(left_out.values()))
        lines = [f"# clips of {args.source} to leave out, by 'karsl audit'"]
        for kind in kinds:
            lines += [f"# {kind}", *(clip_id for clip_id, of_kind in left_out.items() if of_kind == kind)]
        _write(args.write_exclude, lines)
        print(f"{pluralize(len(left_out), 'clip')} to leave out: {args.write_exclude}")
        print(f"to use it: filter_cfg=dict(exclude={args.write_exclude.name!r}), below the data root or the current folder")
    if args.html:
        from karsl.visualization.audit_page import write_audit_page

        for path in write_audit_page(args.html, report, source):
            print(f"page: {path}")


def _write(path: Path, lines: Iterable[str]) -> None:
    from karsl.io.atomic import atomic_path

    with atomic_path(path) as part:
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
