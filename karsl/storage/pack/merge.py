"""Records of a pack and records to be added: who is new, and which classes there are together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from karsl.errors import AnnotationError, DataErrors
from karsl.storage.annotation import read_annotation
from karsl.storage.packed import ANNOTATIONS

_NAMES = ("classes", "classes_ar")


@dataclass(frozen=True)
class Merge:
    """Attributes:
    metainfo: Of both.
    old: Records of the pack, with the labels that they have now.
    new: Records of the source that the pack lacks, likewise.
    present: Records of the source that the pack has.
    """

    metainfo: dict
    old: list[dict]
    new: list[dict]
    present: int


def merged(pack: Path | None, metainfo: dict, records: list[dict]) -> Merge:
    """Records of a source beside those of a pack.

    Args:
        pack: Folder; None for a new pack.
        metainfo: Of the source.
        records: Of the source.

    Raises:
        DataErrors: Clips without frames, two clips of one name, or one that has another length in the pack.
        AnnotationError: Labels without names for them, or one name for two classes.
    """
    problems = _problems(records)
    if problems:
        raise DataErrors("the source", problems)
    if pack is None:
        return Merge(metainfo, [], records, 0)
    before, old = read_annotation(pack / ANNOTATIONS)
    lengths = {r["clip_id"]: r["num_frames"] for r in old}
    new = [r for r in records if r["clip_id"] not in lengths]
    present = [r for r in records if r["clip_id"] in lengths]
    changed = [r for r in present if lengths[r["clip_id"]] != r["num_frames"]]
    if changed:
        raise DataErrors(
            str(pack),
            [f"clip {r['clip_id']!r} has {lengths[r['clip_id']]} frames, in the source {r['num_frames']}; --remove it first"
             for r in changed],
        )  # fmt: skip
    return _labelled(before, old, metainfo, new, len(present)) if new else Merge(before, old, [], len(present))


def _problems(records: list[dict]) -> list[str]:
    twice = [name for name, count in Counter(r["clip_id"] for r in records).items() if count > 1]
    empty = [r["clip_id"] for r in records if r["num_frames"] < 1]
    return [f"two clips are called {name!r}; rename one" for name in twice] + [
        f"clip {name!r} has no frames; remove it" for name in empty
    ]


def _labelled(before: dict, old: list[dict], metainfo: dict, new: list[dict], present: int) -> Merge:
    key = "signs" if before.get("signs") and metainfo.get("signs") else "classes"
    classes = [_classes(info, key, whose) for info, whose in ((before, "the pack"), (metainfo, "the source"))]
    names = list(dict.fromkeys((*classes[0], *classes[1])))
    names = sorted(names) if key == "signs" else names
    row = {name: i for i, name in enumerate(names)}
    joined: dict = {**before, key: names}
    for kind in _NAMES:
        if kind != key and kind in before:
            known = dict(zip(classes[1], metainfo.get(kind, classes[1]), strict=True))
            known |= dict(zip(classes[0], before[kind], strict=True))
            joined[kind] = [str(known[name]) for name in names]
    if key != "signs" and len(names) > len(classes[0]):
        joined.pop("signs", None)  # classes of the source have none
    return Merge(
        joined,
        [{**r, "label": _label(r, classes[0], row, key, "the pack")} for r in old],
        [{**r, "label": _label(r, classes[1], row, key, "the source")} for r in new],
        present,
    )


def _classes(metainfo: dict, key: str, whose: str) -> list:
    """What classes are joined by.

    Raises:
        AnnotationError: There is nothing, or one name for two classes.
    """
    found = metainfo.get(key)
    if not found:
        raise AnnotationError(
            f"clips can be added where classes have names; metainfo has no {key!r}, only {sorted(metainfo)}"
        )
    twice = next((name for name, count in Counter(found).items() if count > 1), None)
    if twice is not None:
        raise AnnotationError(
            f"two classes of {whose} are called {twice!r}, and by their names they would become one; rename one, or give "
            "both the pack and the source 'signs'"
        )
    return list(found)


def _label(record: dict, classes: list, row: dict, key: str, whose: str) -> int:
    """The label of a record among all classes: of its sign, or else of the class that its own label stands for.

    Raises:
        AnnotationError: It has neither, or one that is not among the classes.
    """
    sign, label = record.get("sign") if key == "signs" else None, record.get("label")
    if sign is not None and sign in row:
        return row[sign]
    if sign is None and isinstance(label, (int, np.integer)) and 0 <= label < len(classes):
        return row[classes[label]]
    told = ", ".join(f"{name} {record[name]!r}" for name in ("sign", "label") if name in record) or "no label"
    raise AnnotationError(
        f"clip {record['clip_id']!r} of {whose} has {told}, and classes are {key} {classes[0]!r} to {classes[-1]!r}, "
        f"{len(classes)} of them; correct the record"
    )
