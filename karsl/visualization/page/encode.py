"""A clip as the JSON that the page reads, the same whether it lies in the page or comes from a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from karsl.skeletons import Skeleton
from karsl.visualization.clip import ClipView
from karsl.visualization.page.clip import PageClip, PageStage
from karsl.visualization.page.plan import plan_from
from karsl.visualization.page.quantise import quantise
from karsl.visualization.page.rows import index_row
from karsl.visualization.page.skeleton import describe_for_page, skeleton_key
from karsl.visualization.page.wrists import is_wrong, own_wrist
from karsl.visualization.palette import group_styles


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
        stages.append(_encode_stage(stage, clip.stages[:number], stages))
    draws = [_encode_stage(draw, clip.stages[:1], stages) for draw in clip.draws]
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


def _encode_stage(stage: PageStage, earlier: Sequence[PageStage], done: Sequence[dict[str, Any]]) -> dict[str, Any]:
    points = np.asarray(stage.points, dtype=np.float64)[..., :2]
    wrists = own_wrist(points, stage.skeleton)
    view = ClipView(points, stage.skeleton, "", "", "", "", None, len(points))
    told = _points(stage, earlier, points)
    parted = told.pop("parted", False) or ("from" in told and done[told["from"]]["floats"])
    floats = bool(parted or view.hands_float())
    return {
        "name": stage.name,
        "note": stage.note,
        "skeleton": skeleton_key(stage.skeleton),
        "frames": len(points),
        "inds": None if stage.frame_inds is None else [_number(v) for v in stage.frame_inds],
        "seen": {s.label: round(float(view.present(s.name).mean()), 4) for s in group_styles(stage.skeleton)},
        "own": {} if floats else {side: [round(share, 4), count] for side, (share, count) in wrists.items()},
        "wrong": is_wrong(wrists) and not floats,
        "floats": floats,
        "points": told,
    }


def _points(stage: PageStage, earlier: Sequence[PageStage], points: np.ndarray) -> dict[str, Any]:
    for number in dict.fromkeys((len(earlier) - 1, 0)) if earlier else ():
        plan = plan_from(earlier[number], stage)
        if plan is not None:
            return {"from": number, **plan}
    return quantise(points)


def _number(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def _hands_seen(stage: PageStage) -> dict[str, float] | None:
    sides = _hand_parts(stage.skeleton)
    if not sides:
        return None
    there = {side: np.isfinite(stage.points[:, part, :2]).all(-1).any(-1) for side, part in sides.items()}
    there["any"] = np.any(list(there.values()), axis=0)
    return {side: round(float(flags.mean()), 4) for side, flags in there.items()}


def _hand_parts(skeleton: Skeleton) -> dict[str, slice]:
    return {style.side: skeleton.groups[style.name] for style in group_styles(skeleton) if style.side}
