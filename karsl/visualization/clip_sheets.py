"""Contact sheets of one clip: as loaded, along its pipeline, with a prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from karsl.errors import pluralize
from karsl.skeletons import Skeleton
from karsl.visualization.draw.canvas import Canvas, Image, shorten, text_width
from karsl.visualization.draw.captions import (
    BAR,
    GAP,
    MARGIN,
    TICK,
    draw_legend,
    draw_presence,
    draw_sampled_frames,
    draw_title,
)
from karsl.visualization.draw.clip import ClipPlot, glosses, hands_detached
from karsl.visualization.draw.palette import GRID, INK, MUTED, GroupStyle, enlarged_hands, group_styles
from karsl.visualization.draw.skeleton import Viewport, draw_frame, fit, fit_per_frame, fit_shared

CORRECT, WRONG = "#0b7a5b", "#b3261e"
LABELS, COLUMN = 104, 120  # pixels, horizontal: row labels, one panel
TIMES, BODY, HAND, GROUP = 15, 124, 84, 100  # pixels, vertical: time labels, panels
_TITLE, _SECTION, _MIN_WIDTH = 54, 22, 760
_BAND, _MAX_PREDICTIONS = 44, 3


def clip_sheet(
    results: Mapping[str, Any],
    skeleton: Skeleton | None = None,
    *,
    metainfo: Mapping | None = None,
    frame_inds: np.ndarray | None = None,
    columns: int = 12,
) -> Any:
    """Draw frames of a clip side by side: body, hands, presence of each group, sampled frames.

    Args:
        results: Results after LoadKeypoints or any later transform before packing.
        skeleton: Skeleton of the points. None uses `results['skeleton']`.
        metainfo: Metainfo of the dataset, for glosses.
        frame_inds: Sampled frames to mark. None uses `results['frame_inds']`.
        columns: Maximum number of frames to show.

    Returns:
        A `PIL.Image.Image` in RGB.

    Raises:
        KeyError: If `results` has no keypoints.
        SkeletonError: If the arrays do not match the skeleton.
    """
    clip = ClipPlot.from_results(results, skeleton, metainfo=metainfo)
    return _draw_sheet([("", clip)], frame_inds, columns)


def pipeline_sheet(
    stages: Sequence[tuple[str, Mapping[str, Any]]], *, metainfo: Mapping | None = None, columns: int = 12
) -> Any:
    """Draw a clip after each of several transforms, one section per stage.

    Args:
        stages: Name and results of each stage, after LoadKeypoints and before packing; skeletons may differ.
        metainfo: Metainfo of the dataset, for glosses.
        columns: Maximum number of frames to show per stage.

    Returns:
        A `PIL.Image.Image` in RGB.
    """
    sections = [(name, ClipPlot.from_results(results, metainfo=metainfo)) for name, results in stages]
    if len(sections) == 1:
        return _draw_sheet([("", sections[0][1])], None, columns)
    sampled = [clip.frame_inds for _, clip in sections if clip.frame_inds is not None]
    return _draw_sheet(sections, sampled[0] if sampled else None, columns)


def prediction_sheet(
    results: Mapping[str, Any],
    predicted: Mapping[str, Any] | None,
    *,
    metainfo: Mapping[str, Any] | None = None,
    truth: int | None = None,
    columns: int = 10,
) -> Any:
    """Draw the sheet of a clip below a band with its prediction and true class.

    Args:
        results: Results after LoadKeypoints and before packing.
        predicted: `pred_label` and optionally `pred_score` (K,). None shows no prediction.
        metainfo: Metainfo of the dataset, for glosses.
        truth: True label, or None if unknown.
        columns: Maximum number of frames to show.

    Returns:
        A `PIL.Image.Image` in RGB.
    """
    metainfo = metainfo or {}
    if truth is not None:
        truth = int(truth)  # may be a numpy integer or a tensor
        results = {**results, "label": truth}
    sheet = clip_sheet(results, metainfo=metainfo, columns=columns)
    band = Canvas(sheet.width, _BAND)
    _draw_prediction(band, predicted, metainfo, truth)
    image = Image.new("RGB", (sheet.width, _BAND + sheet.height), "#ffffff")
    image.paste(band.finish(), (0, 0))
    image.paste(sheet, (0, _BAND))
    return image


@dataclass(frozen=True)
class Row:
    """A row of panels with one viewport per shown frame; `group` None is the whole body."""

    label: str
    group: GroupStyle | None
    height: int
    views: list[Viewport]


def plan_rows(clip: ClipPlot, frames: np.ndarray, body: Viewport) -> list[Row]:
    """Return the rows of a clip: body and hands, or one row per group if the groups were centered separately.

    Args:
        clip: Clip to show.
        frames: int64 (n,), frames of the panels.
        body: Viewport of the body, see `body_views`.
    """
    if hands_detached(clip.points, clip.skeleton):
        return [_group_row(clip, style, frames, follow=False) for style in group_styles(clip.skeleton)]
    hands = [_group_row(clip, style, frames, follow=True) for style in enlarged_hands(clip.skeleton)]
    return [Row("body", None, BODY, [body] * len(frames)), *hands]


def body_views(clips: Sequence[ClipPlot]) -> list[Viewport]:
    """Return one viewport per clip; successive clips in similar coordinates share one, see `fit_shared`."""
    return fit_shared([clip.points_to_fit() for clip in clips], (COLUMN, BODY), pad=6.0)


def draw_rows(canvas: Canvas, clip: ClipPlot, frames: np.ndarray, rows: Sequence[Row], top: float) -> float:
    """Draw the time of each column and the rows of a clip; return the vertical position below them."""
    for column, frame in enumerate(frames.tolist()):
        canvas.text(LABELS + column * COLUMN + 3, top + 1, _time_label(clip, frame), size=9, color=MUTED)
    top += TIMES
    for row in rows:
        _draw_row_label(canvas, clip, row, top)
        for column, (frame, view) in enumerate(zip(frames, row.views, strict=True)):
            x = LABELS + column * COLUMN
            with canvas.panel(x, top, COLUMN, row.height) as panel:
                zoom = 1.25 if row.group else 1.0
                draw_frame(panel, clip, int(frame), view, group=row.group, zoom=zoom)
            canvas.box(x, top, COLUMN + 1, row.height + 1, edge=GRID)
        top += row.height
    return top


def gloss(label: int | None, metainfo: Mapping[str, Any]) -> tuple[str, str]:
    """Return the English and Arabic gloss of a label, or its number if it has none.

    Example:
        >>> gloss(1, {"classes": ("hello", "thanks")}), gloss(7, {})
        (('thanks', ''), ('label 7', ''))
    """
    if label is None:
        return "unknown", ""
    english, arabic = glosses(label, metainfo)
    return english or f"label {label}", arabic


def _draw_sheet(sections: list[tuple[str, ClipPlot]], frame_inds: np.ndarray | None, columns: int) -> Any:
    plans = []
    for (name, clip), body in zip(sections, body_views([clip for _, clip in sections]), strict=True):
        frames = clip.shown_frames(max(columns, 1))
        plans.append((name, clip, frames, plan_rows(clip, frames, body)))
    num_columns = max(len(frames) for _, _, frames, _ in plans)
    width = max(LABELS + num_columns * COLUMN + MARGIN, _MIN_WIDTH)
    height = sum(_section_height(name, clip, rows, frame_inds) for name, clip, _, rows in plans)
    canvas = Canvas(width, _TITLE + height + 20)
    first = sections[0][1]
    title_width = draw_title(canvas, first)
    subtitle = " · ".join(filter(None, (first.subtitle, first.clip_id)))
    canvas.text(8, 31, shorten(subtitle, title_width, size=11), size=11, color=MUTED)
    top, ticks = float(_TITLE), False
    for name, clip, frames, rows in plans:
        if name:
            canvas.text(8, top + 4, name, size=12, bold=True)
            note_left = max(float(LABELS), 8 + text_width(name, size=12, bold=True) + 14)
            canvas.text(note_left, top + 6, _section_note(clip), size=10, color=MUTED)
            top += _SECTION
        top = draw_rows(canvas, clip, frames, rows, top) + 8
        span = {"left": LABELS, "width": len(frames) * COLUMN}
        top = draw_presence(canvas, clip, top=top, **span)
        marked = _frames_to_mark(clip, frame_inds)
        if marked is not None:
            top, ticks = draw_sampled_frames(canvas, marked, clip.total_frames, top=top, **span), True
        top += 8
    draw_legend(canvas, first, right=width - MARGIN, top=top - 4, ticks=ticks)
    return canvas.finish()


def _section_height(name: str, clip: ClipPlot, rows: Sequence[Row], frame_inds: np.ndarray | None) -> int:
    panels = TIMES + sum(row.height for row in rows)
    ticks = TICK + GAP if _frames_to_mark(clip, frame_inds) is not None else 0
    return (_SECTION if name else 0) + panels + 8 + (BAR + GAP) * len(group_styles(clip.skeleton)) + ticks + 8


def _section_note(clip: ClipPlot) -> str:
    source = "" if clip.is_unsampled else f"t ← position in the {pluralize(clip.total_frames, 'frame')} on disk"
    points = f"{clip.skeleton.num_keypoints} keypoints"
    return " · ".join(filter(None, (pluralize(clip.num_frames, "frame"), points, source)))


def _frames_to_mark(clip: ClipPlot, frame_inds: np.ndarray | None) -> np.ndarray | None:
    """Return the ticks below a clip: an unsampled clip shows them; a sampled one only if no clip above does."""
    if clip.is_unsampled:
        return frame_inds
    return clip.frame_inds if frame_inds is None else None


def _group_row(clip: ClipPlot, style: GroupStyle, frames: np.ndarray, *, follow: bool) -> Row:
    points = clip.points[:, clip.skeleton.groups[style.name]]
    height = HAND if follow else GROUP
    size = (COLUMN, height)
    views = fit_per_frame(points, size) if follow else [fit([points], size)] * clip.num_frames
    return Row(style.label, style, height, [views[t] for t in frames])


def _draw_row_label(canvas: Canvas, clip: ClipPlot, row: Row, top: float) -> None:
    middle = top + row.height / 2
    if row.group is None:
        canvas.text(8, middle, row.label, size=11, anchor="lm")
        return
    canvas.text(8, middle - 7, row.label, size=11, color=row.group.color, anchor="lm")
    share = f"{clip.present(row.group.name).mean():.0%} of frames"
    canvas.text(8, middle + 8, share, size=9, color=MUTED, anchor="lm")


def _time_label(clip: ClipPlot, frame: int) -> str:
    if clip.frame_inds is None or frame >= len(clip.frame_inds):
        return f"t={frame}"
    return f"t={frame} ← {clip.frame_inds[frame]:.1f}"


def _draw_prediction(
    band: Canvas, predicted: Mapping[str, Any] | None, metainfo: Mapping[str, Any], truth: int | None
) -> None:
    label = None if predicted is None else predicted.get("pred_label")
    if predicted is None or label is None:
        band.text(10, _BAND / 2, f"true: {gloss(truth, metainfo)[0]}", size=13, anchor="lm", color=INK)
        return
    is_correct = None if truth is None else int(label) == truth
    color, verdict = {None: (INK, ""), True: (CORRECT, "correct · "), False: (WRONG, "wrong · ")}[is_correct]
    band.box(0, 0, 6, _BAND, fill=color)
    x = 16.0
    for rank, (candidate, score) in enumerate(_rank_predictions(predicted)):
        english, arabic = gloss(candidate, metainfo)
        text = f"{verdict if not rank else ''}{english}{'' if score is None else f' {score:.0%}'}"
        size, text_color = (14, color) if not rank else (11, MUTED)
        band.text(x, _BAND / 2, text, size=size, bold=not rank, color=text_color, anchor="lm")
        x += text_width(text, size=size, bold=not rank) + 8
        band.text(x, _BAND / 2, arabic, size=size, color=text_color, anchor="lm", arabic=True)
        x += text_width(arabic, size=size, arabic=True) + 18
    if is_correct is False:
        band.text(x, _BAND / 2, f"true: {gloss(truth, metainfo)[0]}", size=13, color=INK, anchor="lm")


def _rank_predictions(predicted: Mapping[str, Any]) -> list[tuple[int, float | None]]:
    """Return labels and scores, best first; the predicted label alone without scores."""
    if predicted.get("pred_score") is None:
        return [(int(predicted["pred_label"]), None)]
    scores = np.asarray(predicted["pred_score"], dtype=np.float64)
    best = np.argsort(-scores, kind="stable")[:_MAX_PREDICTIONS].tolist()
    return [(label, float(scores[label])) for label in best]
