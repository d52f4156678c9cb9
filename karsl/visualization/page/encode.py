"""Clips, skeletons and the list of clips as JSON, the same for an embedded and a served page."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from io import BytesIO
from typing import Any

import numpy as np

from karsl.audit.hands import attached_wrist, is_implausible
from karsl.skeletons import Skeleton, mirror_name
from karsl.visualization.draw import palette
from karsl.visualization.draw.clip import hands_detached
from karsl.visualization.page.clip import PageClip, PageStage
from karsl.visualization.page.stages import affine_between, quantize

_FIELDS = {
    "id": "clip_id",
    "link": "link",
    "label": "label",
    "sign": "sign",
    "en": "english",
    "ar": "arabic",
    "signer": "signer",
    "split": "split",
    "category": "category",
}
_COLUMNS = (*_FIELDS, "frames", "seen", "hands", "wrong", "page")
_ROLES = {
    palette.RIGHT: "right",
    palette.LEFT: "left",
    palette.RIGHT_ARM: "right-arm",
    palette.LEFT_ARM: "left-arm",
    palette.POSE: "pose",
    palette.FACE: "face",
}


def encode_clip(clip: PageClip) -> dict[str, Any]:
    """Encode one clip.

    Returns:
        Plain JSON: `row` (its row in the list), `stages` and `augmentations` (each with its points, or with maps from an
        earlier stage), `total` (frames on disk), `skeletons` (name to description).

    Raises:
        ValueError: If the clip has no stages.
    """
    if not clip.stages:
        raise ValueError(f"clip {clip.clip_id!r} has no stages; the first is the clip as loaded")
    stages: list[dict[str, Any]] = []
    for number, stage in enumerate(clip.stages):
        sources = tuple(dict.fromkeys((number - 1, 0))) if number else ()
        stages.append(_encode_stage(stage, clip.stages[:number], stages, sources=sources))
    augmentations = [_encode_stage(stage, clip.stages, stages, sources=(0,)) for stage in clip.augmentations]
    skeletons = {stage.skeleton for stage in (*clip.stages, *clip.augmentations)}
    total = clip.total_frames or len(clip.stages[0].points)
    wrong = [stage["name"] for stage in (*stages, *augmentations) if stage["wrong"]]
    return {
        "row": index_row(vars(clip), total, seen=stages[0]["seen"], hands=_hand_shares(clip.stages[0]), wrong=wrong),
        "total": total,
        "stages": stages,
        "augmentations": augmentations,
        "skeletons": {skeleton_key(skeleton): describe_skeleton(skeleton) for skeleton in skeletons},
    }


def index_row(
    metadata: Mapping[str, Any],
    frames: int,
    *,
    seen: Mapping[str, float] | None = None,
    hands: Mapping[str, float] | None = None,
    wrong: Iterable[str] = (),
) -> dict[str, Any]:
    """Return one row of the list.

    Args:
        metadata: Result of `clip_metadata`, or the attributes of a `PageClip`.
        frames: Length of the clip on disk; 0 if unknown.
        seen: Share of frames in which each group is present, by its label. None if the clip was not read.
        hands: Share of frames in which the hand is present, by `right`, `left`, `any`. None if unknown.
        wrong: Stages with hands attached to the wrong arms.

    Example:
        >>> from karsl.visualization.page import clip_metadata
        >>> index_row(clip_metadata({"clip_id": "a", "sign": 71}), 48)["frames"]
        48
    """
    return {
        **{key: metadata[name] for key, name in _FIELDS.items()},
        "frames": frames,
        "seen": None if seen is None else dict(seen),
        "hands": None if hands is None else dict(hands),
        "wrong": list(wrong),
    }


def encode_index(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Convert rows to columns; repeated texts are stored once.

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
            columns[name] = _encode_column(values)
    return {"count": len(rows), "columns": columns}


def text_codes(values: Iterable[str]) -> tuple[list[str], list[int]]:
    """Return the distinct texts, and the index of each value in them.

    Example:
        >>> text_codes(["a", "b", "a"])
        (['a', 'b'], [0, 1, 0])
    """
    index: dict[str, int] = {}
    codes = [index.setdefault(value, len(index)) for value in values]
    return list(index), codes


@lru_cache(maxsize=64)
def skeleton_key(skeleton: Skeleton) -> str:
    """Return a name that differs between different skeletons."""
    text = json.dumps([skeleton.name, skeleton.parts, skeleton.bones]).encode()
    return f"{skeleton.name}~{blake2b(text, digest_size=3).hexdigest()}"


@lru_cache(maxsize=64)
def describe_skeleton(skeleton: Skeleton) -> dict[str, Any]:
    """Return groups, bones and dots as JSON. Colors are roles of the style sheet. Do not modify the result, which is cached.

    Example:
        >>> from karsl.skeletons import get_skeleton
        >>> description = describe_skeleton(get_skeleton("karsl_184"))
        >>> [group["role"] for group in description["groups"]], description["tethers"][0]
        (['pose', 'face', 'right', 'left'], [142, 5, 'right'])
    """
    parts = skeleton.groups
    groups = [
        {
            "name": s.name,
            "label": s.label,
            "side": s.side,
            "role": _role(s.color),
            "at": [parts[s.name].start, parts[s.name].stop],
        }
        for s in palette.group_styles(skeleton)
    ]
    index = {name: k for k, name in enumerate(skeleton.names)}
    return {
        "name": skeleton.name,
        "names": list(skeleton.names),
        "groups": groups,
        "bones": [[bone.start, bone.end, _role(bone.color), bone.width] for bone in palette.bones(skeleton)],
        "dots": [[point, _role(color)] for point, color in palette.dots(skeleton)],
        "mirror": [index.get(mirror_name(name), -1) for name in skeleton.names],
        "tethers": [t for side in ("right", "left") if (t := _tether(skeleton, side))],
    }


def _role(color: str) -> str:
    return _ROLES.get(color, "other")


def _tether(skeleton: Skeleton, side: str) -> list[Any] | None:
    hand, arm = f"{side}_hand_wrist", f"{side}_wrist"
    if not {hand, arm} <= set(skeleton.names):
        return None
    return [skeleton.index(hand), skeleton.index(arm), side]


def _encode_stage(
    stage: PageStage, earlier: Sequence[PageStage], encoded: Sequence[dict[str, Any]], *, sources: tuple[int, ...]
) -> dict[str, Any]:
    points = np.asarray(stage.points, dtype=np.float64)[..., :2]
    wrists = attached_wrist(points, stage.skeleton)
    data = _encode_points(stage, {number: earlier[number] for number in sources}, points)
    detaches = data.pop("detaches", None)
    detached = detaches or encoded[data["from"]]["detached"] if "from" in data else hands_detached(points, stage.skeleton)
    seen = np.isfinite(points[..., 0])
    groups = [(style.label, stage.skeleton.groups[style.name]) for style in palette.group_styles(stage.skeleton)]
    return {
        "name": stage.name,
        "skeleton": skeleton_key(stage.skeleton),
        "frames": len(points),
        "inds": _encode_frame_inds(stage, earlier),
        "seen": {label: round(float(seen[:, part].any(-1).mean()), 4) for label, part in groups},
        "own": {} if detached else {side: [round(share, 4), count] for side, (share, count) in wrists.items()},
        "wrong": is_implausible(wrists) and not detached,
        "detached": detached,
        "points": data,
        **({"pictures": [_encode_picture(p) for p in stage.pictures]} if len(stage.pictures) else {}),
    }


def _encode_picture(picture: np.ndarray) -> str:
    """Return a picture as the data URI of a JPEG."""
    from PIL import Image  # optional dependency

    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=70)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _encode_points(stage: PageStage, sources: Mapping[int, PageStage], points: np.ndarray) -> dict[str, Any]:
    for number, source in sources.items():
        maps = affine_between(source, stage)
        if maps is not None:
            return {"from": number, **maps}
    return quantize(points)


def _encode_frame_inds(stage: PageStage, earlier: Sequence[PageStage]) -> list[float | None] | int | None:
    """Return frames on disk, or the number of an earlier stage with the same ones."""
    inds = stage.frame_inds
    if inds is None:
        return None
    for number, other in enumerate(earlier):
        if other.frame_inds is not None and np.array_equal(other.frame_inds, inds, equal_nan=True):
            return number
    return [round(v, 4) if v == v else None for v in np.asarray(inds, dtype=np.float64).tolist()]


def _hand_shares(stage: PageStage) -> dict[str, float] | None:
    styles = palette.group_styles(stage.skeleton)
    parts = {style.side: stage.skeleton.groups[style.name] for style in styles if style.side}
    if not parts:
        return None
    seen = {side: np.isfinite(stage.points[:, part, 0]).any(-1) for side, part in parts.items()}
    seen["any"] = np.any(list(seen.values()), axis=0)
    return {side: round(float(flags.mean()), 4) for side, flags in seen.items()}


def _encode_column(values: list[Any]) -> Any:
    if not all(isinstance(value, str) for value in values):
        return values
    texts, codes = text_codes(values)
    return {"values": texts, "codes": codes} if 2 * len(texts) <= len(values) else values
