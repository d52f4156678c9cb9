"""`karsl prepare`: scan a data root, check it, and write its annotation file."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from karsl.cli.options import (
    add_import,
    add_label_sheet,
    add_layout,
    add_missing,
    add_source_skeleton,
    import_user_modules,
    layout_arguments,
    missing_points,
    print_skipped,
)
from karsl.errors import ConfigError, DataErrors, pluralize

if TYPE_CHECKING:
    from karsl.audit.report import AuditReport

SUMMARY = "check a data root and write its annotation file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.description = (
        "Read every clip in DATA_ROOT, a folder with files such as '01-train/0001.npz', report all problems, and write "
        "an annotation file in OpenMMLab's format. If there are problems, nothing is written and the exit status is 2. "
        "DATA_ROOT can be a folder of array files of any arrangement, too, see --layout."
    )
    parser.add_argument("data_root", metavar="DATA_ROOT", type=Path, help="folder with <signer>-<split>/<sign>.npz")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="annotation file to write (default: DATA_ROOT/annotations.json)"
    )
    add_label_sheet(parser)
    add_source_skeleton(parser, "DATA_ROOT", "--skeleton")
    add_missing(parser)
    add_layout(parser, "DATA_ROOT")
    add_import(parser)
    parser.add_argument("--quick", action="store_true", help="read headers only; do not check for NaN and damaged bytes")
    parser.add_argument(
        "--skip-bad", action="store_true", help="write the valid clips and at most one of equal clips, and list the others"
    )


def run(args: argparse.Namespace) -> int:
    """Scan, report, write."""
    from karsl.io.annotations import MANIFEST

    import_user_modules(args.imports)
    folder = args.data_root.parent if args.data_root.is_file() else args.data_root
    out = args.out or folder / "annotations.json"
    if (out.parent / MANIFEST).exists():
        raise ConfigError(
            f"{out}: {out.parent} is a pack, which has its own annotation file; choose another folder for --out"
        )
    if any(layout_arguments(args).values()) or _has_array_files(args.data_root):
        return _prepare_arrays(args, folder, out)
    return _prepare_karsl(args, out)


def _has_array_files(root: Path) -> bool:
    """Return True for array files that are in no folders of KArSL's."""
    from karsl.formats import detect_format

    with suppress(ConfigError):
        return detect_format(root).uses_layout
    return False


def _prepare_karsl(args: argparse.Namespace, out: Path) -> int:
    from karsl.audit.corpus import audit_clips
    from karsl.audit.counts import check_counts
    from karsl.audit.measures import Measurer
    from karsl.formats.karsl.scan import scan_npz_folders
    from karsl.io import class_metainfo, find_label_table, read_label_table, write_annotations
    from karsl.io.sources import IndexedSource
    from karsl.progress import tracker
    from karsl.skeletons import get_skeleton

    skeleton = args.source_skeleton or "karsl_184"
    table_path = args.label_sheet or find_label_table(args.data_root)
    table = read_label_table(table_path) if table_path else None
    points = get_skeleton(skeleton)
    measurer = Measurer(points)
    scan = scan_npz_folders(
        args.data_root,
        skeleton=points,
        label_table=table,
        read_values=not args.quick,
        progress=tracker("reading clips"),
        missing=missing_points(args),
        visit=measurer.add,
    )
    if scan.problems and (not args.skip_bad or not scan.records):
        raise scan.error(args.data_root)
    metainfo = {"dataset_name": "karsl", "skeleton": skeleton, **class_metainfo(scan.signs, table)}
    out = write_annotations(out, metainfo, scan.records)
    print_skipped(args.data_root, scan.problems)
    print(_summarize(scan.records))
    for warning in (*scan.notes, *check_counts(scan.records, scan.empty_clips)):
        print(f"note: {warning}")
    if not args.quick:
        label = {sign: number for number, sign in enumerate(scan.signs)}
        records = [{**record, "label": label[record["sign"]]} for record in scan.records]
        source = IndexedSource(metainfo, points, records, args.data_root.resolve(), missing=missing_points(args))
        figures = measurer.figures([record["clip_id"] for record in records])
        _print_findings(audit_clips(source, figures=figures), known=("empty",))
    print(f"label table: {table_path or 'none, classes are named by SignID'}\nannotation file: {out}")
    name = out.relative_to(args.data_root) if out.is_relative_to(args.data_root) else out
    options = f"--data-root {quote(str(args.data_root))} --ann-file {quote(str(name))}"
    print(f"to use it: karsl train CONFIG {options}; without it, folders are scanned")
    if skeleton != "karsl_184":
        print(f"without the file, datasets of the config need skeleton='{skeleton}', unless their class sets it")
    for line in _describe_missing(args):
        print(line)
    return 0


def _prepare_arrays(args: argparse.Namespace, folder: Path, out: Path) -> int:
    """Write the annotation file of array files of any arrangement."""
    from karsl.audit.corpus import audit_clips
    from karsl.formats.arrays import RESOLVED_KEYS, scan_arrays
    from karsl.io import write_annotations
    from karsl.io.sources import IndexedSource, marker_notes
    from karsl.progress import tracker
    from karsl.skeletons import get_skeleton

    skeleton = get_skeleton(args.source_skeleton) if args.source_skeleton else None
    scan = scan_arrays(args.data_root, skeleton=skeleton, progress=tracker("reading headers"), **layout_arguments(args))
    missing = missing_points(args)
    source = IndexedSource(
        scan.metainfo, scan.layout.skeleton, scan.records, folder.resolve(), layout=scan.layout, missing=missing
    )
    report = None if args.quick else audit_clips(source, progress=tracker("reading clips"))
    unreadable = report.unreadable if report else {}
    problems = [*scan.problems, *unreadable.values()]
    records = [
        {key: value for key, value in record.items() if key not in RESOLVED_KEYS}
        for position, record in enumerate(scan.records)
        if position not in unreadable
    ]
    if problems and (not args.skip_bad or not records):
        raise DataErrors(str(args.data_root), problems)
    write_annotations(out, scan.metainfo, records)
    print_skipped(args.data_root, problems)
    for note in (*scan.notes, *(() if args.quick else marker_notes(source))):
        print(f"note: {note}")
    if report:
        _print_findings(report)
    lengths = [r["num_frames"] for r in records]
    print(f"{pluralize(len(records), 'clip')}, {min(lengths)}-{pluralize(max(lengths), 'frame')}\nannotation file: {out}")
    name = out.relative_to(folder) if out.is_relative_to(folder) else out
    print(f"to use it: KeypointDataset(data_root={str(folder)!r}, ann_file={str(name)!r})")
    return 0


def _print_findings(report: AuditReport, known: Collection[str] = ()) -> None:
    for line in report.short_lines(known=known):
        print(f"audit: {line}")


def _describe_missing(args: argparse.Namespace) -> Iterator[str]:
    """Yield how to train with the rules of missing points, which are not part of an annotation file."""
    if args.missing:
        options = " ".join(f"--missing {name}" for name in args.missing)
        command = f"karsl pack {quote(str(args.data_root))} PACK {options}"
        yield f"training reads these markers as points; '{command}' removes them"
    elif args.nonfinite == "missing":
        yield "the pipeline needs LoadKeypoints(nonfinite='missing')"


def _summarize(records: list[dict]) -> str:
    lengths = [r["num_frames"] for r in records]
    folders = Counter(f"{r['signer']}-{r['split']}" for r in records)
    counts = ", ".join(f"{name} {count}" for name, count in sorted(folders.items()))
    return (
        f"{pluralize(len(records), 'clip')} of {pluralize(len({r['sign'] for r in records}), 'sign')} ({counts}), "
        f"{min(lengths)}-{pluralize(max(lengths), 'frame')}, mean {sum(lengths) / len(lengths):.0f}"
    )
