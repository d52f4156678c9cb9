"""Records of a pack and records to be added: who is new, and which classes there are together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from karsl.errors import AnnotationError, DataProblems
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
        DataProblems: Clips without frames, two clips of one name, or one that has another length in the pack.
        AnnotationError: Labels without names for them.
    """
    problems = _problems(records)
    if problems:
        raise DataProblems("the source", problems)
    if pack is None:
        return Merge(metainfo, [], records, 0)
    before, old = read_annotation(pack / ANNOTATIONS)
    lengths = {r["clip_id"]: r["num_frames"] for r in old}
    new = [r for r in records if r["clip_id"] not in lengths]
    present = [r for r in records if r["clip_id"] in lengths]
    changed = [r for r in present if lengths[r["clip_id"]] != r["num_frames"]]
    if changed:
        raise DataProblems(
            str(pack),
            [f"clip {r['clip_id']!r} has {lengths[r['clip_id']]} frames, in the source {r['num_frames']}; --remove it first"
             for r in changed],
        )  # fmt: skip
    return _labelled(before, old, metainfo, new, len(present))


def _problems(records: list[dict]) -> list[str]:
    twice = [name for name, count in Counter(r["clip_id"] for r in records).items() if count > 1]
    empty = [r["clip_id"] for r in records if r["num_frames"] < 1]
    return [f"two clips are called {name!r}; rename one" for name in twice] + [
        f"clip {name!r} has no frames; remove it" for name in empty
    ]


def _labelled(before: dict, old: list[dict], metainfo: dict, new: list[dict], present: int) -> Merge:
    key = "signs" if before.get("signs") and metainfo.get("signs") else "classes"
    classes = [_classes(info, key) for info in (before, metainfo)]
    names = list(dict.fromkeys((*classes[0], *classes[1])))
    names = sorted(names) if key == "signs" else names
    row = {name: i for i, name in enumerate(names)}
    joined: dict = {**before, key: names}
    for kind in _NAMES:
        if kind != key and kind in before:
            known = dict(zip(classes[1], metainfo.get(kind, classes[1]), strict=True))
            known |= dict(zip(classes[0], before[kind], strict=True))
            joined[kind] = [str(known[name]) for name in names]
    return Merge(
        joined,
        [{**r, "label": row[classes[0][r["label"]]]} for r in old],
        [{**r, "label": row[r["sign"] if key == "signs" else classes[1][r["label"]]]} for r in new],
        present,
    )


def _classes(metainfo: dict, key: str) -> list:
    found = metainfo.get(key)
    if not found:
        raise AnnotationError(
            f"clips can be added where classes have names; metainfo has no {key!r}, only {sorted(metainfo)}"
        )
    return list(found)
