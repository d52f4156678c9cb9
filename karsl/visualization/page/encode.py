"""A clip as the JSON that the page reads, the same whether it lies in the page or comes from a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from karsl.skeletons import Skeleton
from karsl.visualization.drawing.clip import ClipView
from karsl.visualization.drawing.palette import group_styles
from karsl.visualization.page.clip import PageClip, PageStage
from karsl.visualization.page.plan import plan_from
from karsl.visualization.page.quantise import quantise
from karsl.visualization.page.rows import index_row
from karsl.visualization.page.skeleton import describe_for_page, skeleton_key
from karsl.visualization.page.wrists import is_wrong, own_wrist


def encode_clip(clip: PageClip) -> dict[str, Any]:
    """Encode one clip.

    Returns:
        `row` (its line in the list), `stages` and `draws` (each with its points, or with how it follows from an earlier
        stage), `total` (frames on disk), `skeletons` (name to what is drawn). Plain JSON.

    Raises:
        ValueError: The clip has no stages.
    """
    if not clip.stages:
        raise ValueError(f"clip {clip.clip_id!r} has no stages; the first is the clip as loaded")
    stages: list[dict[str, Any]] = []
    for number, stage in enumerate(clip.stages):
        follows = tuple(dict.fromkeys((number - 1, 0))) if number else ()
        stages.append(_encode_stage(stage, clip.stages[:number], stages, follows=follows))
    draws = [_encode_stage(draw, clip.stages, stages, follows=(0,)) for draw in clip.draws]
    skeletons = {stage.skeleton for stage in (*clip.stages, *clip.draws)}
    total = clip.total_frames or len(clip.stages[0].points)
    first = clip.stages[0]
    wrong = [stage["name"] for stage in (*stages, *draws) if stage["wrong"]]
    return {
        "row": index_row(vars(clip), total, seen=stages[0]["seen"], hands=_hands_seen(first), wrong=wrong),
        "total": total,
        "stages": stages,
        "draws": draws,
        "skeletons": {skeleton_key(skeleton): describe_for_page(skeleton) for skeleton in skeletons},
    }


def _encode_stage(
    stage: PageStage, earlier: Sequence[PageStage], done: Sequence[dict[str, Any]], *, follows: tuple[int, ...]
) -> dict[str, Any]:
    points = np.asarray(stage.points, dtype=np.float64)[..., :2]
    wrists = own_wrist(points, stage.skeleton)
    told = _points(stage, {number: earlier[number] for number in follows}, points)
    parted = told.pop("parted", None)
    floats = _hands_float(points, stage.skeleton) if parted is None else parted or done[told["from"]]["floats"]
    seen = np.isfinite(points[..., 0])
    return {
        "name": stage.name,
        "note": stage.note,
        "skeleton": skeleton_key(stage.skeleton),
        "frames": len(points),
        "inds": _positions(stage, earlier),
        "seen": {label: round(float(seen[:, part].any(-1).mean()), 4) for label, part in _labelled(stage.skeleton)},
        "own": {} if floats else {side: [round(share, 4), count] for side, (share, count) in wrists.items()},
        "wrong": is_wrong(wrists) and not floats,
        "floats": floats,
        "points": told,
    }


def _points(stage: PageStage, sources: Mapping[int, PageStage], points: np.ndarray) -> dict[str, Any]:
    for number, source in sources.items():
        plan = plan_from(source, stage)
        if plan is not None:
            return {"from": number, **plan}
    return quantise(points)


def _hands_float(points: np.ndarray, skeleton: Skeleton) -> bool:
    return ClipView(points, skeleton, "", "", "", "", None, len(points)).hands_float()


def _labelled(skeleton: Skeleton) -> list[tuple[str, slice]]:
    return [(style.label, skeleton.groups[style.name]) for style in group_styles(skeleton)]


def _positions(stage: PageStage, earlier: Sequence[PageStage]) -> list[float | None] | int | None:
    """Frames on disk; the number of an earlier stage where they are the same."""
    inds = stage.frame_inds
    if inds is None:
        return None
    for number, other in enumerate(earlier):
        if other.frame_inds is not None and np.array_equal(other.frame_inds, inds, equal_nan=True):
            return number
    return [round(v, 4) if v == v else None for v in np.asarray(inds, dtype=np.float64).tolist()]


def _hands_seen(stage: PageStage) -> dict[str, float] | None:
    sides = _hand_parts(stage.skeleton)
    if not sides:
        return None
    there = {side: np.isfinite(stage.points[:, part, 0]).any(-1) for side, part in sides.items()}
    there["any"] = np.any(list(there.values()), axis=0)
    return {side: round(float(flags.mean()), 4) for side, flags in there.items()}


def _hand_parts(skeleton: Skeleton) -> dict[str, slice]:
    return {style.side: skeleton.groups[style.name] for style in group_styles(skeleton) if style.side}
