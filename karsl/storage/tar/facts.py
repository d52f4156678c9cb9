"""What a sample of a tar says of its clip, and the record that it becomes; tars of others may say anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from karsl.errors import AnnotationError, CorruptRecordError
from karsl.storage.annotation import LOCATOR_KEYS

_OF_PIPELINES = frozenset(("keypoint", "keypoint_score", "frame_inds", "centered", "inputs", "skeleton", "sample_key"))
_RESERVED = LOCATOR_KEYS | _OF_PIPELINES


def read_facts(sample: dict[str, bytes], where: str) -> dict:
    """What a sample's `.json` and `.cls` say of its clip; the number in `.cls` is its label, whatever the `.json` says.

    Raises:
        CorruptRecordError: No JSON object, or a `.cls` that is no number.

    Example:
        >>> read_facts({"cls": b"3", "json": b'{"signer": "01", "label": "hello"}'}, "x.tar: a")
        {'signer': '01', 'label': 3}
    """
    try:
        label = {"label": int(sample["cls"])} if "cls" in sample else {}
        told = json.loads(sample["json"]) if "json" in sample else {}
    except ValueError as error:
        raise CorruptRecordError(f"{where}: its .json or .cls cannot be read ({error}); write the sample again") from error
    if not isinstance(told, dict):
        raise CorruptRecordError(f"{where}: its .json holds a {type(told).__name__}; an object is expected")
    return told | label


def record_of(key: str, facts: Mapping[str, Any], signs: Mapping[int, int], where: str) -> dict:
    """The record of a clip, without where it lies.

    Args:
        key: Of the sample; its `clip_id`, unless the facts give another text.
        facts: Of `read_facts`. Keys that say where clips lie, or that pipelines use themselves, are passed by, and so is a
            sign that is neither number nor text.
        signs: Label of each SignID, for a clip without a label.
        where: Names the tar in errors.

    Raises:
        AnnotationError: A label that is not a whole number.

    Example:
        >>> record_of("a", {"sign": 9, "frame_start": 12, "fps": 25}, {7: 0, 9: 1}, "x.tar")
        {'clip_id': 'a', 'sign': 9, 'fps': 25, 'label': 1}
    """
    record = {"clip_id": key, **{name: value for name, value in facts.items() if name not in _RESERVED}}
    if not isinstance(record["clip_id"], str):
        record["clip_id"] = key
    if not isinstance(record.get("sign", 0), (int, str)):
        del record["sign"]
    label, sign = record.pop("label", None), record.get("sign")
    if label is None and isinstance(sign, int):
        label = signs.get(sign)
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if label is not None and (not isinstance(label, int) or isinstance(label, bool)):
        raise AnnotationError(
            f"{where}: sample {key!r} has label {label!r}, not a whole number; correct its .json, or say the label in a .cls"
        )
    return record if label is None else {**record, "label": label}
