"""KArSL's layout on disk, `<root>/<signer>-<split>/<sign>.npz`, as a source of clips."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from karsl.errors import ConfigError
from karsl.skeletons import Skeleton, describe_skeleton, get_skeleton
from karsl.storage.annotation import class_metainfo
from karsl.storage.convert.archive_folder import ArchiveFolder
from karsl.storage.convert.job import Job
from karsl.storage.convert.located import LocatedClips
from karsl.storage.convert.naming import FreshNames
from karsl.storage.file_index import Progress
from karsl.storage.folder_names import SPLITS
from karsl.storage.labels import find_label_sheet, read_label_sheet
from karsl.storage.packed import ANNOTATIONS
from karsl.storage.scan import scan_npz_folders


def open_karsl(
    path: Path,
    *,
    skeleton: Skeleton | None = None,
    label_sheet: Path | None = None,
    progress: Progress | None = None,
    **_: Any,
) -> LocatedClips:
    """Scan a data root; a label sheet gives the glosses, and one that lies there is found.

    Raises:
        DataErrors: Everything that the scan found wrong.
    """
    skeleton = skeleton or get_skeleton("karsl_184")
    sheet_path = label_sheet or find_label_sheet(path)
    sheet = read_label_sheet(sheet_path) if sheet_path else None
    scan = scan_npz_folders(path, skeleton=skeleton, sheet=sheet, progress=progress)
    if scan.problems:
        raise scan.error(path)
    label = {sign: i for i, sign in enumerate(scan.signs)}
    records = [{**r, "label": label[r["sign"]]} for r in scan.records]
    metainfo = {"dataset_name": "karsl", "skeleton": describe_skeleton(skeleton), **class_metainfo(scan.signs, sheet)}
    listed = path / ANNOTATIONS
    notes = (f"the folders are read, not {listed}; name that file to read it",) if listed.is_file() else ()
    return LocatedClips(metainfo, skeleton, records, path.resolve(), notes)


def write_karsl(out: Path, job: Job) -> None:
    """Write a data root: an archive for each signer, split and sign, and the label sheet.

    Raises:
        ConfigError: A clip without sign, signer or split of the layout.
    """
    for record in job.source.records:
        _check_place(record)
    fresh = FreshNames()
    with ArchiveFolder(out) as archives:
        for record, clip in job.clips(by=_archive):
            name = _archive(record)
            archives.write(name, fresh.name(name, record.get("keypoint_key") or record["clip_id"]), clip)
    _write_sheet(out / "labels.csv", job.metainfo)


def _archive(record: dict) -> str:
    return f"{record['signer']}-{record['split']}/{record['sign']:04d}.npz"


def _check_place(record: dict) -> None:
    lacking = [key for key in ("sign", "signer", "split") if record.get(key) is None]
    signer, split = str(record.get("signer")), record.get("split")
    if lacking or split not in SPLITS or not (len(signer) == 2 and signer.isdigit()) or record["sign"] < 1:
        what = f"no {lacking}" if lacking else f"signer {signer!r}, split {split!r}, sign {record['sign']}"
        raise ConfigError(
            f"clip {record['clip_id']!r} has {what}; folders of this layout are '<two digits>-<{' or '.join(SPLITS)}>' and "
            "files are SignIDs from 1: use --to annotation"
        )


def _write_sheet(path: Path, metainfo: dict) -> None:
    signs, english = metainfo.get("signs"), metainfo["classes"]
    if signs is None:
        return
    arabic = metainfo.get("classes_ar", [""] * len(english))
    with path.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(("SignID", "Sign-Arabic", "Sign-English"))
        rows.writerows(zip(signs, arabic, english, strict=True))
