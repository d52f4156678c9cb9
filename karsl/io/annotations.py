"""Annotation files in OpenMMLab's format, `{"metainfo": {...}, "data_list": [...]}`: read, check and write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from karsl.errors import AnnotationError
from karsl.io.atomic import atomic_path
from karsl.io.labels import LabelTable

BYTE_RANGE_KEY = "member"
"""Record key of the array's position in its archive, a list in the order of `karsl.io.npz.ByteRange`."""
LOCATOR_KEYS = frozenset(
    ("keypoint_path", "keypoint_key", "keypoint_index", BYTE_RANGE_KEY, "frame_start", "byte_start", "dtype", "xxh3", "raw")
    + ("pack", "sample_idx")
)
"""Record keys that locate the clip in one copy of the files or in one dataset."""


def parse_annotations(path: str | Path) -> tuple[dict, list[dict]]:
    """Read the metainfo and the records of a local `.json` annotation file.

    Raises:
        AnnotationError: If the file cannot be read or has another format.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AnnotationError(f"{path}: not readable ({error}); write it again with 'karsl prepare'") from error
    return split_annotation(content, path)


def split_annotation(content: Any, path: str | Path) -> tuple[dict, list[dict]]:
    """Check the content of an annotation file and return its metainfo and records.

    Raises:
        AnnotationError: If the content has another format.

    Example:
        >>> split_annotation({"metainfo": {"classes": ["a"]}, "data_list": []}, "a.json")
        ({'classes': ['a']}, [])
    """
    if not isinstance(content, dict):
        raise AnnotationError(f"{path}: an annotation file contains a dict, this one a {type(content).__name__}")
    absent = [key for key in ("metainfo", "data_list") if key not in content]
    if absent:
        raise AnnotationError(f"{path}: no key {absent}; the format is {{'metainfo': ..., 'data_list': [...]}}")
    metainfo, records = content["metainfo"], content["data_list"]
    if not isinstance(metainfo, dict) or not isinstance(records, list):
        raise AnnotationError(
            f"{path}: metainfo is {type(metainfo).__name__}, data_list {type(records).__name__}; expected a dict and a list"
        )
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise AnnotationError(f"{path}: record {number} is a {type(record).__name__}; a dict is expected")
        if not isinstance(clip_path := record.get("keypoint_path", ""), str):
            raise AnnotationError(f"{path}: record {number} has keypoint_path={clip_path!r}; a string is expected")
    return metainfo, records


def write_annotations(path: str | Path, metainfo: dict, records: list[dict]) -> Path:
    """Write an annotation file with labels, without positions in archives.

    Args:
        path: A `.json` file; replaced atomically.
        metainfo: Dataset metadata. With `signs`, each record's label is the index of its `sign` there.
        records: One dict per clip.
    """
    label = {sign: i for i, sign in enumerate(metainfo.get("signs") or ())}
    data_list = []
    for record in records:
        stored = {key: value for key, value in record.items() if key != BYTE_RANGE_KEY}
        if record.get("sign") in label:
            stored["label"] = label[record["sign"]]
        data_list.append(stored)
    return write_data_list(path, metainfo, data_list)


def write_data_list(path: str | Path, metainfo: dict, records: list[dict]) -> Path:
    """Write `{"metainfo": ..., "data_list": [...]}` atomically, as UTF-8 with one record per line and readable Arabic."""
    with atomic_path(path) as temp, temp.open("w", encoding="utf-8") as stream:
        stream.write('{"metainfo": ' + json.dumps(metainfo, ensure_ascii=False) + ',\n"data_list": [\n')
        stream.write(",\n".join(json.dumps(r, ensure_ascii=False) for r in records))
        stream.write("\n]}\n")
    return Path(path)


def class_metainfo(signs: tuple[int, ...], table: LabelTable | None) -> dict:
    """Return `signs`, `classes` (English) and `classes_ar` of some SignIDs, in label order.

    Example:
        >>> class_metainfo((7, 9), None)
        {'signs': (7, 9), 'classes': ('0007', '0009')}
    """
    if table is None:
        return {"signs": signs, "classes": tuple(f"{s:04d}" for s in signs)}
    row = {s: i for i, s in enumerate(table.signs)}
    return {
        "signs": signs,
        "classes": tuple(table.english[row[s]] for s in signs),
        "classes_ar": tuple(table.arabic[row[s]] for s in signs),
    }
