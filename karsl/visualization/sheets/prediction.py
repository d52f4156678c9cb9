"""A clip with what a model took it for: right or wrong at a glance, in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from karsl.visualization.drawing.canvas import Canvas, text_width
from karsl.visualization.drawing.clip import glosses
from karsl.visualization.drawing.palette import INK, MUTED
from karsl.visualization.drawing.pillow import Image
from karsl.visualization.sheets.one_clip import clip_sheet

RIGHT_ANSWER, WRONG_ANSWER = "#0b7a5b", "#b3261e"
_BAND, _MOST = 44, 3  # pixels down; predictions named


def prediction_sheet(
    results: Mapping[str, Any],
    predicted: Mapping[str, Any] | None,
    *,
    metainfo: Mapping[str, Any] | None = None,
    truth: int | None = None,
    columns: int = 10,
) -> Any:
    """The sheet of a clip below a band that names prediction and truth.

    Args:
        results: After LoadKeypoints and before packing.
        predicted: `pred_label` and, if there, `pred_score` (K,); None names no prediction.
        metainfo: For glosses.
        truth: Label; None is not known.
        columns: Frames to show, at most.

    Returns:
        A `PIL.Image.Image` in RGB.
    """
    metainfo = metainfo or {}
    if truth is not None:
        results = {**results, "label": truth}
    sheet = clip_sheet(results, metainfo=metainfo, columns=columns)
    band = Canvas(sheet.width, _BAND)
    _fill(band, predicted, metainfo, truth)
    both = Image.new("RGB", (sheet.width, _BAND + sheet.height), "#ffffff")
    both.paste(band.finish(), (0, 0))
    both.paste(sheet, (0, _BAND))
    return both


def _fill(band: Canvas, predicted: Mapping[str, Any] | None, metainfo: Mapping[str, Any], truth: int | None) -> None:
    label = None if predicted is None else predicted.get("pred_label")
    if predicted is None or label is None:
        band.text(10, _BAND / 2, f"true: {gloss(truth, metainfo)[0]}", size=13, anchor="lm", colour=INK)
        return
    known = truth is not None
    colour = INK if not known else RIGHT_ANSWER if int(label) == truth else WRONG_ANSWER
    band.box(0, 0, 6, _BAND, fill=colour)
    word = "" if not known else "right · " if int(label) == truth else "wrong · "
    x = 16.0
    for number, (one, share) in enumerate(_ranked(predicted)):
        english, arabic = gloss(one, metainfo)
        text = f"{word if not number else ''}{english}{'' if share is None else f' {share:.0%}'}"
        size, shade = (14, colour) if not number else (11, MUTED)
        band.text(x, _BAND / 2, text, size=size, bold=not number, colour=shade, anchor="lm")
        x += text_width(text, size=size, bold=not number) + 8
        band.text(x, _BAND / 2, arabic, size=size, colour=shade, anchor="lm", arabic=True)
        x += text_width(arabic, size=size, arabic=True) + 18
    if known and int(label) != truth:
        band.text(x, _BAND / 2, f"true: {gloss(truth, metainfo)[0]}", size=13, colour=INK, anchor="lm")


def gloss(label: int | None, metainfo: Mapping[str, Any]) -> tuple[str, str]:
    """English and Arabic gloss of a label; its number where there is none.

    Example:
        >>> gloss(1, {"classes": ("hello", "thanks")}), gloss(7, {})
        (('thanks', ''), ('label 7', ''))
    """
    if label is None:
        return "not known", ""
    english, arabic = glosses(label, metainfo)
    return english or f"label {label}", arabic


def _ranked(predicted: Mapping[str, Any]) -> list[tuple[int, float | None]]:
    """Labels from the likeliest on, each with its share; the predicted one alone where there are no scores."""
    if predicted.get("pred_score") is None:
        return [(int(predicted["pred_label"]), None)]
    score = np.asarray(predicted["pred_score"], dtype=np.float64)
    best = np.argsort(-score, kind="stable")[:_MOST].tolist()
    return [(label, float(score[label])) for label in best]
