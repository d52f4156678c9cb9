"""`karsl pack`: put all clips of a data root into one mapped block, which batches are read from at memory speed."""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "put a data root into one block that is read at memory speed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.description = (
        "Read every clip below DATA_ROOT and write OUT/frames.npy, OUT/presence.npy and OUT/annotations.json. Train from it "
        "with data_root=OUT and ann_file='annotations.json'."
    )
    parser.add_argument("data_root", type=Path, help="folder with <signer>-<split>/<sign>.npz")
    parser.add_argument("out", type=Path, help="folder of the pack")
    parser.add_argument(
        "--dtype", choices=("float16", "float32"), default="float16", help="float16 halves the bytes (default: %(default)s)"
    )
    parser.add_argument("--label-sheet", type=Path, help="csv, xlsx or json with SignID, Sign-Arabic, Sign-English")
    parser.add_argument("--skeleton", default="karsl_184", help="keypoint layout of the arrays (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Scan, then pack clip by clip."""
    from rich.progress import track

    from karsl.errors import DataProblems
    from karsl.skeletons import get_skeleton
    from karsl.storage import (
        canonical_clip,
        class_metainfo,
        find_label_sheet,
        pack_records,
        read_label_sheet,
        read_member,
        scan_npz_folders,
    )

    skeleton, sheet_path = get_skeleton(args.skeleton), args.label_sheet or find_label_sheet(args.data_root)
    sheet = read_label_sheet(sheet_path) if sheet_path else None
    scan = scan_npz_folders(
        args.data_root,
        skeleton=skeleton,
        sheet=sheet,
        progress=lambda files, total: track(files, "listing clips", total=total),
    )
    if scan.problems:
        raise DataProblems(str(args.data_root), scan.problems)

    def read(record: dict):
        raw = read_member(args.data_root / record["keypoint_path"], record["keypoint_key"])
        return canonical_clip(raw, where=f"{record['keypoint_path']}: clip {record['keypoint_key']!r}")

    annotations = pack_records(
        args.out,
        {"dataset_name": "karsl", "skeleton": args.skeleton, **class_metainfo(scan.signs, sheet)},
        scan.records,
        read,
        skeleton=skeleton,
        dtype=args.dtype,
        progress=lambda records, total: track(records, "packing", total=total),
    )
    size = sum(path.stat().st_size for path in args.out.iterdir())
    print(f"{len(scan.records)} clips, {size / 2**20:.0f} MiB of {args.dtype} in {args.out}")
    print(f"train from it with data_root={str(args.out)!r}, ann_file={annotations.name!r}")
    return 0
