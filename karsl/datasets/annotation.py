"""Read OpenMMLab's annotation format and metainfo, with errors that name the file and the remedy."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import PurePath

import numpy as np
import yaml  # MMEngine requires it
from mmengine.config import Config
from mmengine.fileio import get_text, list_from_file
from mmengine.logging import print_log

from karsl.errors import AnnotationError, pluralize
from karsl.storage.annotation import annotation_parts

_PARSERS = {".json": json.loads, ".yaml": yaml.safe_load, ".yml": yaml.safe_load}  # none of them can run code
_NEVER_FILES = ("skeleton", "dataset_name")  # names, also where a file is called the same


def read_annotation(ann_file: str | None, *, owner: str) -> dict:
    """Load `{"metainfo": {...}, "data_list": [...]}`.

    Args:
        ann_file: Path or URL that MMEngine's file clients read, json or yaml by suffix.
        owner: Class that asks, for the error without a path.

    Raises:
        FileNotFoundError: There is no such file.
        TypeError: No path, or the content is not a dict.
        AnnotationError: Another suffix, the text cannot be parsed, or it is not in the format.
    """
    if not ann_file:
        raise TypeError(f"{owner} needs ann_file; 'karsl prepare DATA_ROOT' writes one")
    parse = _PARSERS.get(PurePath(ann_file).suffix.lower())
    if parse is None:
        raise AnnotationError(
            f"{ann_file}: an annotation is read from .json, .yaml or .yml; other forms, pickles above all, can run code; "
            "write it as json"
        )
    try:
        content = parse(get_text(ann_file))
    except (ValueError, yaml.YAMLError) as error:
        raise AnnotationError(f"{ann_file}: not readable ({error}); write it again with 'karsl prepare'") from error
    if not isinstance(content, dict):  # MMEngine's type of error
        raise TypeError(f"{ann_file}: an annotation file holds a dict, this one a {type(content).__name__}")
    annotation_parts(content, ann_file)
    return content


def check_labels(records: Sequence[Mapping], classes: object, *, source: str) -> None:
    """See that labels are numbers of classes, where both are known.

    Raises:
        AnnotationError: One is not.
    """
    if not classes or not isinstance(classes, (list, tuple)):
        return
    known = range(len(classes))
    strange = [r for r in records if isinstance(r.get("label"), (int, np.integer)) and r["label"] not in known]
    if strange:
        first = f"{strange[0]['label']} of clip {strange[0].get('clip_id', '?')!r}"
        raise AnnotationError(
            f"{source}: {pluralize(len(strange), 'clip')} with a label outside 0 to {len(known) - 1}, the first {first}; "
            f"metainfo has {len(known)} 'classes', correct these or the labels"
        )


def complete_metainfo(base: Mapping, given: Mapping | Config | None) -> dict:
    """Lay the metainfo of a constructor over that of its class.

    Args:
        base: The class's METAINFO; copied.
        given: A string value that is the path of a readable text file stands for the file's lines, but for `skeleton` and
            `dataset_name`, which are names.

    Raises:
        TypeError: `given` is not a mapping.
    """
    merged = copy.deepcopy(dict(base))
    if given is None:
        return merged
    if not isinstance(given, (Mapping, Config)):
        raise TypeError(f"metainfo should be a Mapping or Config, but got {type(given)}")
    for key, value in given.items():
        merged[key] = _lines_of(key, value) if isinstance(value, str) and key not in _NEVER_FILES else value
    return merged


def _lines_of(key: str, text: str) -> str | list[str]:
    try:
        lines = list_from_file(text)
    except (TypeError, ValueError, KeyError, OSError):
        print_log(f"{text} is not a meta file, simply parsed as meta information", logger="current", level=logging.WARNING)
        return text
    print_log(f"metainfo {key!r} is read from the file {text!r}: {len(lines)} lines", logger="current")
    return lines
