"""KArSL's layout as a format: `<root>/<signer>-<split>/<sign>.npz`."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

from karsl.errors import ConfigError
from karsl.formats.base import ConversionJob, register_format
from karsl.formats.folders import NpzFolderWriter, UniqueNames
from karsl.formats.karsl.layout import SPLIT_FOLDER, SPLITS, describe_layout
from karsl.formats.karsl.scan import scan_npz_folders
from karsl.io.annotations import class_metainfo
from karsl.io.file_index import Progress
from karsl.io.labels import find_label_table, read_label_table
from karsl.io.missing import STRICT, MissingPoints
from karsl.io.pack_reader import ANNOTATIONS
from karsl.io.sources import IndexedSource
from karsl.skeletons import Skeleton, describe_skeleton, get_skeleton


def _is_data_root(path: Path) -> bool:
    """Return True for a folder with a subfolder such as '01-train', or '01-val' if there is no annotation file."""
    if not path.is_dir():
        return False
    folders = [p.name for p in path.iterdir() if p.is_dir()]
    if any(SPLIT_FOLDER.fullmatch(name) for name in folders):
        return True
    return not (path / ANNOTATIONS).is_file() and any(re.fullmatch(r"\d{2}-\w+", name) for name in folders)


def write_karsl(out: Path, job: ConversionJob) -> None:
    """Write a data root: one archive per signer, split and sign, and the label table.

    Raises:
        ConfigError: If a clip has no sign, signer or split that the layout can express.
    """
    for record in job.source.records:
        _check_record(record)
    names = UniqueNames()
    with NpzFolderWriter(out) as archives:
        for record, clip in job.clips(key=_archive_name):
            archive = _archive_name(record)
            archives.write(archive, names.name(archive, record.get("keypoint_key") or record["clip_id"]), clip)
    _write_label_table(out / "labels.csv", job.metainfo)


def _archive_name(record: dict) -> str:
    return f"{record['signer']}-{record['split']}/{record['sign']:04d}.npz"


def _check_record(record: dict) -> None:
    missing = [key for key in ("sign", "signer", "split") if record.get(key) is None]
    signer, split = str(record.get("signer")), record.get("split")
    if missing or split not in SPLITS or not (len(signer) == 2 and signer.isdigit()) or record["sign"] < 1:
        what = f"no {missing}" if missing else f"signer {signer!r}, split {split!r}, sign {record['sign']}"
        raise ConfigError(
            f"clip {record['clip_id']!r} has {what}; folders of this layout are '<two digits>-<{' or '.join(SPLITS)}>' and "
            "files are SignIDs from 1: use --to annotation"
        )


def _write_label_table(path: Path, metainfo: dict) -> None:
    signs, english = metainfo.get("signs"), metainfo["classes"]
    if signs is None:
        return
    arabic = metainfo.get("classes_ar", [""] * len(english))
    with path.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(("SignID", "Sign-Arabic", "Sign-English"))
        rows.writerows(zip(signs, arabic, english, strict=True))


@register_format(
    "karsl",
    description="<signer>-<split>/<sign>.npz and labels.csv, KArSL's folder layout",
    cannot_store="clips without SignID, signer or split",
    detect=_is_data_root,
    priority=20,
    writer=write_karsl,
    supports_half=True,
    uses_label_table=True,
    hint=lambda path: f"for KArSL's folders: {describe_layout(path)}",
)
def open_karsl(
    path: Path,
    *,
    skeleton: Skeleton | None = None,
    label_table: Path | None = None,
    progress: Progress | None = None,
    missing: MissingPoints = STRICT,
    **_: Any,
) -> IndexedSource:
    """Scan a data root. Glosses come from the label table, by default the one in the root.

    Raises:
        DataErrors: If the scan finds problems and no valid clip.
    """
    skeleton = skeleton or get_skeleton("karsl_184")
    table_path = label_table or find_label_table(path)
    table = read_label_table(table_path) if table_path else None
    scan = scan_npz_folders(path, skeleton=skeleton, label_table=table, progress=progress)
    if scan.problems and not scan.records:
        raise scan.error(path)
    label = {sign: i for i, sign in enumerate(scan.signs)}
    records = [{**r, "label": label[r["sign"]]} for r in scan.records]
    metainfo = {"dataset_name": "karsl", "skeleton": describe_skeleton(skeleton), **class_metainfo(scan.signs, table)}
    ann_file = path / ANNOTATIONS
    notes = [f"the folders are read, not {ann_file}; open that file to use it"] if ann_file.is_file() else []
    return IndexedSource(
        metainfo, skeleton, records, path.resolve(), (*notes, *scan.notes), problems=tuple(scan.problems), missing=missing
    )
