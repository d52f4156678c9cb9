"""OpenMMLab's annotation format, `{"metainfo": ..., "data_list": [...]}`, written from a scan, and read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from karsl.errors import AnnotationError
from karsl.storage.atomic import atomic_path
from karsl.storage.labels import LabelSheet

PLACE = "member"
"""Key of a record: byte range of its array in an archive, a list in the order of `karsl.storage.npz.Place`."""

LOCATOR_KEYS = frozenset(
    ("keypoint_path", "keypoint_key", "member", "frame_start", "byte_start", "dtype", "xxh3", "pack", "sample_idx")
)
"""Of a record: where its clip lies in one copy of the files, and its place in one dataset."""


def class_metainfo(signs: tuple[int, ...], sheet: LabelSheet | None) -> dict:
    """The class names of some signs: `signs`, `classes` (English) and `classes_ar`, in label order.

    Example:
        >>> class_metainfo((7, 9), None)
        {'signs': (7, 9), 'classes': ('0007', '0009')}
    """
    if sheet is None:
        return {"signs": signs, "classes": tuple(f"{s:04d}" for s in signs)}
    row = {s: i for i, s in enumerate(sheet.signs)}
    return {
        "signs": signs,
        "classes": tuple(sheet.english[row[s]] for s in signs),
        "classes_ar": tuple(sheet.arabic[row[s]] for s in signs),
    }


def read_annotation(path: str | Path) -> tuple[dict, list[dict]]:
    """Metainfo and records of an annotation file.

    Raises:
        AnnotationError: It cannot be read, or is not in the format.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AnnotationError(f"{path}: not readable ({error}); write it again with 'karsl prepare'") from error
    return annotation_parts(content, path)


def annotation_parts(content: Any, path: str | Path) -> tuple[dict, list[dict]]:
    """Metainfo and records of what an annotation file holds.

    Raises:
        AnnotationError: It is not in the format.

    Example:
        >>> annotation_parts({"metainfo": {"classes": ["a"]}, "data_list": []}, "a.json")
        ({'classes': ['a']}, [])
    """
    if not isinstance(content, dict):
        raise AnnotationError(f"{path}: an annotation file holds a dict, this one a {type(content).__name__}")
    absent = [key for key in ("metainfo", "data_list") if key not in content]
    if absent:
        raise AnnotationError(f"{path}: no key {absent}; the format is {{'metainfo': ..., 'data_list': [...]}}")
    metainfo, records = content["metainfo"], content["data_list"]
    if not isinstance(metainfo, dict) or not isinstance(records, list):
        raise AnnotationError(
            f"{path}: metainfo is a {type(metainfo).__name__} and data_list a {type(records).__name__}; "
            "a dict and a list are expected"
        )
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise AnnotationError(f"{path}: record {number} is a {type(record).__name__}; a dict is expected")
        if not isinstance(where := record.get("keypoint_path", ""), str):
            raise AnnotationError(f"{path}: record {number} has keypoint_path={where!r}; a text is expected")
    return metainfo, records


def write_annotation(path: str | Path, metainfo: dict, records: list[dict]) -> Path:
    """Write an annotation file; atomic, UTF-8, Arabic readable in it.

    Args:
        path: A `.json` file.
        metainfo: Dataset-level facts; `signs`, where there are any, give the label of each record's `sign`: its place.
        records: Of clips. Where an array lies in its archive is left out: it is true of one copy of the files only.
    """
    label = {sign: i for i, sign in enumerate(metainfo.get("signs") or ())}
    data_list = [
        {**{k: v for k, v in r.items() if k != "member"}, **({"label": label[r["sign"]]} if r.get("sign") in label else {})}
        for r in records
    ]
    return write_list(path, metainfo, data_list)


def write_list(path: str | Path, metainfo: dict, records: list[dict]) -> Path:
    """Write `{"metainfo": ..., "data_list": [...]}`; atomic, UTF-8, one record a line, Arabic readable in it."""
    with atomic_path(path) as part, part.open("w", encoding="utf-8") as stream:
        stream.write('{"metainfo": ' + json.dumps(metainfo, ensure_ascii=False) + ',\n"data_list": [\n')
        stream.write(",\n".join(json.dumps(r, ensure_ascii=False) for r in records))
        stream.write("\n]}\n")
    return Path(path)
