"""Faults in the content of clips, from their figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from karsl.audit.finding import Finding, make_finding
from karsl.audit.landmarks import SIDES, Landmarks
from karsl.errors import pluralize

# Limits, in shoulder widths where they are lengths. Each is beyond every sound clip of six public corpora and of the
# synthetic one, and within what the fault gives.
_UNIT, _FAR, _HUGE = 5.0, 6.0, 1e6  # times the median of the corpus; absolute
_UPSIDE_DOWN, _MIRRORED, _ROTATED = -0.3, -0.5, 0.8
_HAND_BONES, _BONES, _BONES_RATIO = 1.1, 0.9, 2.5  # mean length as a share of the spread of a group; times the median
_WIDEST = 15.0  # extent of all points
_OWN_SHARE, _MIN_JUDGED, _MIN_WRONG = 0.4, 3, 0.2  # frames with a hand at its own arm; number of frames; share of frames
_TWICE = 0.25  # distance of two hands that are the same
_AWAY, _AWAY_RATIO = 0.4, 6.0
_REPEATS, _GAPS, _FEW = 0.4, 0.5, 0.1  # shares of frames
_MIN_TRAVEL, _MIN_SORTED, _SORTED_BY_TEXT = 0.15, 13, 0.85  # of the hands; frames; steps in the other order
_JUMPS, _ROUGH = 0.5, 0.85  # mean step as a share of the spread in time, and of that in four frames
_LENGTH, _MIN_CLIPS = 4.0, 5  # times the median of the sign; its number of clips
_MOST = 0.5  # a fault of more clips than this share is one of the corpus


def check_content(figures: np.ndarray, records: Sequence[Mapping], marks: Landmarks) -> Iterator[Finding]:
    """Yield the faults of clips, each clip under the first that explains the others.

    Args:
        figures: `FIGURES` of the clips that were read; rows of others have 0 frames.
        records: Records of all clips.
        marks: Points of their skeleton.
    """
    with np.errstate(all="ignore"):
        masks, rest = {}, figures["num_frames"] > 0
        for kind, mask in _body_faults(figures, rest, marks):
            masks[kind] = mask & rest
            if kind == "order" or not _is_common(
                masks[kind], figures
            ):  # a corpus in other coordinates is checked all the same
                rest = rest & ~masks[kind]
        masks.update(_part_faults(figures, rest, marks))
        masks.update({kind: mask & rest for kind, mask in _motion_faults(figures)})
    for kind, mask in masks.items():
        yield from _describe(kind, mask, figures, records)
    yield from _missing_groups(figures, rest, marks)
    yield from _lengths(figures, records)


def is_sound(figures: np.ndarray, findings: Sequence[Finding]) -> np.ndarray:
    """Return the clips that can be compared with others: they have a body and none of the faults that make them useless."""
    sound = (figures["num_frames"] > 1) & (figures["largest"] > 0) & (figures["scale"] > 0) & np.isfinite(figures["scale"])
    for finding in findings:
        if finding.kind in ("not_finite", "far", "flat"):
            sound[list(finding.clips)] = False
    return sound


def _is_common(mask: np.ndarray, figures: np.ndarray) -> bool:
    return bool(mask.sum() > _MOST * max((figures["num_frames"] > 0).sum(), 2))


def _describe(kind: str, mask: np.ndarray, figures: np.ndarray, records: Sequence[Mapping]) -> Iterator[Finding]:
    """Yield a finding, about the corpus if most clips have the fault."""
    clips = np.flatnonzero(mask)
    if not len(clips):
        return
    finding = make_finding(kind, clips, _details(kind, figures[clips]))
    if _is_common(mask, figures) and kind not in ("empty", "not_finite"):
        share = len(clips) / (figures["num_frames"] > 0).sum()
        yield Finding("corpus", finding.clips, sentence=f"{share:.0%} of all clips: {finding.text(records)}")
    else:
        yield finding


def _details(kind: str, figures: np.ndarray) -> list[str]:
    """Return a remark for each clip."""
    if kind == "far":
        return [f"up to {value:.3g}" for value in figures["largest"]]
    if kind == "unit":
        return [f"shoulders or spread {value:.3g}" for value in figures["scale"]]
    if kind in ("swapped_hands", "one_hand_twice"):
        shares = figures["own"].sum(-1) / np.maximum(figures["judged"].sum(-1), 1)
        return [f"{share:.0%} of frames at the own arm" for share in shares]
    if kind in ("repeats", "gaps"):
        return [f"{share:.0%} of frames" for share in figures["equal" if kind == "repeats" else "empty"]]
    return []


def _body_faults(figures: np.ndarray, rest: np.ndarray, marks: Landmarks) -> Iterator[tuple[str, np.ndarray]]:
    """Yield faults of which a clip has one at most."""
    largest, scale = figures["largest"], figures["scale"]
    yield "empty", largest == 0
    yield "not_finite", ~np.isfinite(largest)
    usable = rest & (largest > 0) & np.isfinite(largest) & (scale > 0)
    reach = largest / scale
    far = np.zeros(len(figures), bool)
    if usable.any():
        far = (reach > _FAR * np.median(reach[usable])) & (largest > 2 * np.median(largest[usable]))
    yield "flat", (figures["extent"][:, :2] == 0).any(-1) if marks.skeleton.num_keypoints > 2 else np.zeros(len(far), bool)
    usual = np.median(scale[usable]) if usable.any() else 1.0
    other_unit = (scale > _UNIT * usual) | (scale < usual / _UNIT)
    yield "far", far & ~other_unit | (largest > _HUGE * max(usual, 1.0))
    yield "order", _has_other_order(figures, usable, marks)
    yield "unit", other_unit
    right_to_left = figures["shoulders"]
    head = np.where(np.isfinite(figures["head"]), figures["head"], figures["face"])
    yield "upside_down", head < _UPSIDE_DOWN
    yield "rotated", (np.abs(right_to_left[:, 1]) > _ROTATED) & (np.abs(right_to_left[:, 0]) < _ROTATED)
    yield "mirrored", right_to_left[:, 0] < _MIRRORED
    yield "one_frame", figures["num_frames"] == 1
    yield "frozen", figures["equal"] == 1


def _has_other_order(figures: np.ndarray, usable: np.ndarray, marks: Landmarks) -> np.ndarray:
    """Return the clips in which joined points are far apart."""
    found = (figures["extent"][:, :2] / figures["scale"][:, None]).max(-1) > _WIDEST
    for number in range(min(len(marks.groups), figures["bones"].shape[1])):
        bones = figures["bones"][:, number]
        known = usable & np.isfinite(bones)
        if not known.any():
            continue
        limit = _HAND_BONES if "hand" in marks.skeleton.parts[number][1][0] else _BONES
        found |= (bones > limit) | (bones > _BONES_RATIO * np.median(bones[known])) & (bones > limit / 2)
    return found


def _part_faults(figures: np.ndarray, rest: np.ndarray, marks: Landmarks) -> Iterator[tuple[str, np.ndarray]]:
    """Yield faults of hands and frames, of which a clip may have several."""
    judged, seen = figures["judged"], figures["seen"]
    share = figures["own"] / np.maximum(judged, 1)
    many = np.maximum(_MIN_JUDGED, _MIN_WRONG * figures["num_frames"])[:, None]
    wrong = (judged - figures["own"] >= many) & (share < _OWN_SHARE)
    right = (judged >= _MIN_JUDGED) & (share > _OWN_SHARE)
    twice = wrong.any(-1) & right.any(-1) & (figures["hands_apart"] < _TWICE)
    yield "swapped_hands", rest & wrong.any(-1) & ~twice
    yield "one_hand_twice", rest & twice
    if all(marks.hand(side) for side in SIDES):
        most = seen.max(-1)
        yield "no_hand", rest & (most == 0)
        yield "few_hands", rest & (most > 0) & (most < _FEW)
    known = rest & np.isfinite(figures["apart"])
    usual = np.median(figures["apart"][known]) if known.any() else 0.0
    yield "hand_away", known & ~wrong.any(-1) & (figures["apart"] > max(_AWAY, _AWAY_RATIO * usual))
    depth = figures["extent"][:, 2]
    if (depth[rest] > 0).sum() > _MOST * rest.sum():
        yield "no_depth", rest & (depth == 0)


def _motion_faults(figures: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield faults of frames."""
    yield "repeats", (figures["equal"] >= _REPEATS) & (figures["equal"] < 1)
    yield "gaps", (figures["empty"] >= _GAPS) & (figures["empty"] < 1)
    moves = (figures["travel"] > _MIN_TRAVEL) & (figures["num_frames"] >= _MIN_SORTED) & (figures["empty"] < _GAPS)
    jumps = moves & (figures["step"] > _JUMPS) & (figures["smooth"] > _ROUGH)
    yield "sorted_by_text", moves & (figures["unsorted"] < _SORTED_BY_TEXT) & ~jumps
    yield "jumps", jumps


def _missing_groups(figures: np.ndarray, rest: np.ndarray, marks: Landmarks) -> Iterator[Finding]:
    """Yield clips without a part that nearly all others have; hands are often missing and have kinds of their own."""
    for number, group in enumerate(marks.groups[: figures["groups"].shape[1]]):
        absent = rest & (figures["groups"][:, number] == 0)
        is_hand = marks.skeleton.parts[number][1][0].split("_")[1:2] == ["hand"]
        if absent.any() and not is_hand and absent.sum() < 0.1 * rest.sum():
            clips = np.flatnonzero(absent)
            yield make_finding("no_group", clips, [f"no {group.name}"] * len(clips))


def _lengths(figures: np.ndarray, records: Sequence[Mapping]) -> Iterator[Finding]:
    """Yield clips of unusual length among those of their sign."""
    labels = np.array([str(record.get("label", record.get("sign"))) for record in records])
    frames = figures["num_frames"]
    unusual, details = [], []
    for label in np.unique(labels):
        clips = np.flatnonzero((labels == label) & (frames > 1))
        if len(clips) < _MIN_CLIPS:
            continue
        usual = np.median(frames[clips])
        for position in clips[(frames[clips] > _LENGTH * usual) | (frames[clips] < usual / _LENGTH)].tolist():
            unusual.append(position)
            details.append(f"{pluralize(int(frames[position]), 'frame')}, usual are {usual:g}")
    if unusual:
        yield make_finding("length", unusual, details)
