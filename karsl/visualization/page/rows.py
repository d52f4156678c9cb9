"""What the list of the page knows of each clip, and the columns in which a server sends it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_COLUMNS = (
    "id",
    "link",
    "label",
    "sign",
    "en",
    "ar",
    "signer",
    "split",
    "chapter",
    "frames",
    "seen",
    "hands",
    "wrong",
    "page",
)


def index_row(
    facts: Mapping[str, Any],
    frames: int,
    *,
    seen: Mapping[str, float] | None = None,
    hands: Mapping[str, float] | None = None,
    wrong: Iterable[str] = (),
) -> dict[str, Any]:
    """One line of the list.

    Args:
        facts: As `clip_facts` gives them, or the fields of a `PageClip`.
        frames: Length of the clip on disk; 0 where it is not known.
        seen: Group label to the share of frames in which the group is seen; None where the clip was not read.
        hands: `right`, `left`, `any` to the share of frames in which that hand is seen; None where it is not known.
        wrong: Stages whose hands hang on the wrong arms.

    Example:
        >>> from karsl.visualization.page import clip_facts
        >>> index_row(clip_facts({"clip_id": "a", "sign": 71}), 48)["frames"]
        48
    """
    plain = {"id": "clip_id", "link": "link", "label": "label", "sign": "sign", "en": "english", "ar": "arabic"}
    plain |= {key: key for key in ("signer", "split", "chapter")}
    return {
        **{short: facts[name] for short, name in plain.items()},
        "frames": frames,
        "seen": None if seen is None else dict(seen),
        "hands": None if hands is None else dict(hands),
        "wrong": list(wrong),
    }


def encode_index(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The rows as columns; texts that repeat are written once.

    Returns:
        `count`, and `columns`: name to a list of values, or to `{"values": [...], "codes": [...]}`.

    Example:
        >>> encode_index([{"id": "a", "signer": "01"}, {"id": "b", "signer": "01"}])["columns"]
        {'id': ['a', 'b'], 'signer': {'values': ['01'], 'codes': [0, 0]}}
    """
    rows = list(rows)
    columns = {}
    for name in _COLUMNS:
        values = [row.get(name) for row in rows]
        if any(value not in (None, [], "") for value in values):
            columns[name] = _coded(values)
    return {"count": len(rows), "columns": columns}


def _coded(values: list[Any]) -> Any:
    if not all(isinstance(value, str) for value in values):
        return values
    texts, codes = text_codes(values)
    return {"values": texts, "codes": codes} if 2 * len(texts) <= len(values) else values


def text_codes(values: Iterable[str]) -> tuple[list[str], list[int]]:
    """Each text once, and the place of each value among them.

    Example:
        >>> text_codes(["a", "b", "a"])
        (['a', 'b'], [0, 1, 0])
    """
    places: dict[str, int] = {}
    codes = [places.setdefault(value, len(places)) for value in values]
    return list(places), codes
