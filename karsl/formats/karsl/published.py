"""KArSL's published tree with keypoints in place of videos: signer, split and SignID are folders, and a file is a clip.

| path of a clip below the root |
| --- |
| `<signer>/<split>/<sign>/<clip>.npy`, also `.npz`, `.pt` and `.pose` |
| `<signer>/<signer>/<split>/<sign>/<clip>.npy` |
| `<signer>/<split>/0071-0170/<sign>/<clip>.npy` |
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from karsl.errors import DataErrors
from karsl.formats.arrays import open_arrays
from karsl.formats.base import register_format
from karsl.formats.karsl.layout import LAST_SIGN
from karsl.formats.pose_format import open_pose
from karsl.io.annotations import class_metainfo
from karsl.io.file_list import Unread, has_file, list_tree
from karsl.io.labels import find_label_table, read_label_table
from karsl.io.sources import ClipSource
from karsl.skeletons import Skeleton, get_skeleton

_PATH = re.compile(
    r"(?:.*/)?(?P<signer>\d{2})/(?P<split>train|test)/(?:\d{4}-\d{4}/)?(?P<sign>\d{4})/(?P<clip>[^/]+)\.(?:npy|npz|pt|pose)",
    re.IGNORECASE,
)
_MAX_SEARCHED = 1000


def _is_published(path: Path) -> bool:
    names = islice(list_tree(path, Unread()), _MAX_SEARCHED) if path.is_dir() else ()
    return any(_PATH.fullmatch(name) for name in names)


@register_format(
    "karsl-tree",
    description="<signer>/<split>/<sign>/<clip>.npy, .npz or .pose, KArSL's published tree of clips",
    cannot_store="everything",
    detect=_is_published,
    priority=25,
    uses_label_table=True,
    has_persons=True,
)
def open_published(
    path: Path, *, skeleton: Skeleton | None = None, label_table: Path | None = None, **options: Any
) -> ClipSource:
    """Open a tree. Glosses come from the label table, by default the one in the root.

    Raises:
        DataErrors: If no file is at such a path, or the label table lacks a SignID, with all problems.
    """
    options.pop("layout", None)
    source: Any  # both have the fields that change below
    if has_file(path, (".pose",), below=True):
        source = open_pose(path, skeleton=skeleton, **options)
    else:
        options.pop("person", None)
        source = open_arrays(path, skeleton=skeleton or get_skeleton("karsl_184"), labels="none", **options)
    records, problems = [], list(source.problems)
    for record in source.records:
        file = record.get("keypoint_path") or record["file"]
        found = _PATH.fullmatch(file)
        if found is None or not 1 <= int(found["sign"]) <= LAST_SIGN:
            problems.append(
                f"{file}: not at a path <signer>/<split>/<sign>/<clip> with a SignID of 1 to {LAST_SIGN}; move it"
            )
            continue
        signer, split, sign = found["signer"], found["split"].lower(), int(found["sign"])
        name = "/".join(filter(None, (found["clip"], str(record.get("keypoint_key") or ""))))
        identity = {"clip_id": f"{signer}-{split}/{sign:04d}/{name}", "sign": sign, "signer": signer, "split": split}
        records.append({**record, **identity})
    table_path = label_table or find_label_table(path)
    table = read_label_table(table_path) if table_path else None
    signs = tuple(sorted({record["sign"] for record in records}))
    unknown = sorted(set(signs) - set(table.signs)) if table else []
    problems += [f"sign {sign} is not in the label table {table_path}" for sign in unknown]
    if not records or unknown:
        raise DataErrors(str(path), problems)
    label = {sign: number for number, sign in enumerate(signs)}
    labeled = [{**record, "label": label[record["sign"]]} for record in records]
    metainfo = {"dataset_name": "karsl", "skeleton": source.metainfo["skeleton"], **class_metainfo(signs, table)}
    return replace(source, metainfo=metainfo, records=labeled, problems=tuple(problems))
