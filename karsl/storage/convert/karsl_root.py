"""KArSL's layout on disk, `<root>/<signer>-<split>/<sign>.npz`, as a source of clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import DataProblems
from karsl.skeletons import Skeleton, describe_skeleton, get_skeleton
from karsl.storage.annotation import class_metainfo
from karsl.storage.convert.source import Clips
from karsl.storage.index import scan_npz_folders
from karsl.storage.labels import find_label_sheet, read_label_sheet
from karsl.storage.npz import read_member
from karsl.storage.record import canonical_clip


@dataclass(frozen=True)
class _ArchiveReader:
    root: Path

    def __call__(self, record: dict) -> np.ndarray:
        path, key = record["keypoint_path"], record["keypoint_key"]
        return canonical_clip(read_member(self.root / path, key), where=f"{path}: clip {key!r}")


def open_karsl(path: Path, *, skeleton: Skeleton | None = None, **_: Any) -> Clips:
    """Scan a data root; a label sheet that lies in it gives the glosses.

    Raises:
        DataProblems: Everything that the scan found wrong.
    """
    skeleton = skeleton or get_skeleton("karsl_184")
    sheet_path = find_label_sheet(path)
    sheet = read_label_sheet(sheet_path) if sheet_path else None
    scan = scan_npz_folders(path, skeleton=skeleton, sheet=sheet)
    if scan.problems:
        raise DataProblems(str(path), scan.problems)
    label = {sign: i for i, sign in enumerate(scan.signs)}
    records = [{**r, "label": label[r["sign"]]} for r in scan.records]
    metainfo = {"dataset_name": "karsl", "skeleton": describe_skeleton(skeleton), **class_metainfo(scan.signs, sheet)}
    return Clips(metainfo, skeleton, records, _ArchiveReader(path))
