"""OpenMMLab's annotation format, `{"metainfo": ..., "data_list": [...]}`, written from a scan."""

from __future__ import annotations

import json
from pathlib import Path

from karsl.storage.atomic import atomic_path
from karsl.storage.labels import LabelSheet


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


def write_annotation(path: str | Path, metainfo: dict, records: list[dict]) -> Path:
    """Write an annotation file; atomic, UTF-8, Arabic readable in it.

    Args:
        path: A `.json` file.
        metainfo: Dataset-level facts; `signs` gives the label of each record's `sign`.
        records: Records without `label`; the label is the place of the sign in `metainfo['signs']`.
    """
    label = {sign: i for i, sign in enumerate(metainfo["signs"])}
    data_list = [{**r, "label": label[r["sign"]]} for r in records]
    with atomic_path(path) as part, part.open("w", encoding="utf-8") as stream:
        stream.write('{"metainfo": ' + json.dumps(metainfo, ensure_ascii=False) + ',\n"data_list": [\n')
        stream.write(",\n".join(json.dumps(r, ensure_ascii=False) for r in data_list))
        stream.write("\n]}\n")
    return Path(path)
