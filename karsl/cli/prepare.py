"""`karsl prepare`: scan a data root, check it, and write its annotation file."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from shlex import quote

from karsl.cli.options import (
    add_import,
    add_label_sheet,
    add_missing,
    add_source_skeleton,
    import_user_modules,
    missing_points,
    print_skipped,
)
from karsl.errors import ConfigError

SUMMARY = "check a data root and write its annotation file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.description = (
        "Read every clip in DATA_ROOT, a folder with files such as '01-train/0001.npz', report all problems, and write "
        "an annotation file in OpenMMLab's format. If there are problems, nothing is written and the exit status is 2."
    )
    parser.add_argument("data_root", metavar="DATA_ROOT", type=Path, help="folder with <signer>-<split>/<sign>.npz")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="annotation file to write (default: DATA_ROOT/annotations.json)"
    )
    add_label_sheet(parser)
    add_source_skeleton(parser, "DATA_ROOT", "--skeleton")
    parser.set_defaults(source_skeleton="karsl_184")
    add_missing(parser)
    add_import(parser)
    parser.add_argument("--quick", action="store_true", help="read headers only; do not check for NaN and damaged bytes")
    parser.add_argument(
        "--skip-bad", action="store_true", help="write the valid clips and at most one of equal clips, and list the others"
    )


def run(args: argparse.Namespace) -> int:
    """Scan, report, write."""
    from karsl.audit.counts import check_counts
    from karsl.formats.karsl.scan import scan_npz_folders
    from karsl.io import class_metainfo, find_label_table, read_label_table, write_annotations
    from karsl.io.pack_reader import MANIFEST
    from karsl.progress import tracker
    from karsl.skeletons import get_skeleton

    import_user_modules(args.imports)
    out = args.out or args.data_root / "annotations.json"
    if (out.parent / MANIFEST).exists():
        raise ConfigError(
            f"{out}: {out.parent} is a pack, which has its own annotation file; choose another folder for --out"
        )
    table_path = args.label_sheet or find_label_table(args.data_root)
    table = read_label_table(table_path) if table_path else None
    scan = scan_npz_folders(
        args.data_root,
        skeleton=get_skeleton(args.source_skeleton),
        label_table=table,
        read_values=not args.quick,
        progress=tracker("reading clips"),
        missing=missing_points(args),
    )
    if scan.problems and (not args.skip_bad or not scan.records):
        raise scan.error(args.data_root)
    metainfo = {"dataset_name": "karsl", "skeleton": args.source_skeleton, **class_metainfo(scan.signs, table)}
    out = write_annotations(out, metainfo, scan.records)
    print_skipped(args.data_root, scan.problems)
    print(_summarize(scan.records))
    for warning in (*scan.notes, *check_counts(scan.records, scan.empty_clips)):
        print(f"note: {warning}")
    print(f"label table: {table_path or 'none, classes are named by SignID'}\nannotation file: {out}")
    name = out.relative_to(args.data_root) if out.is_relative_to(args.data_root) else out
    options = f"--data-root {quote(str(args.data_root))} --ann-file {quote(str(name))}"
    print(f"to use it: karsl train CONFIG {options}; without it, folders are scanned")
    if args.source_skeleton != "karsl_184":
        print(f"without the file, datasets of the config need skeleton='{args.source_skeleton}', unless their class sets it")
    return 0


def _summarize(records: list[dict]) -> str:
    lengths = [r["num_frames"] for r in records]
    folders = Counter(f"{r['signer']}-{r['split']}" for r in records)
    counts = ", ".join(f"{name} {count}" for name, count in sorted(folders.items()))
    return (
        f"{len(records)} clips of {len({r['sign'] for r in records})} signs ({counts}), "
        f"{min(lengths)}-{max(lengths)} frames, mean {sum(lengths) / len(lengths):.0f}"
    )
