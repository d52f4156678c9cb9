"""Make signers comparable: place and size by named points; and give missing points a number where one is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from karsl.checks import check_number
from karsl.datasets.transforms.affine import similarity
from karsl.datasets.transforms.base import KeypointTransform, Params
from karsl.errors import ConfigError, SkeletonError
from karsl.registry import TRANSFORMS
from karsl.skeletons import Skeleton

Anchor = Mapping[str, Sequence[str]]
BODY: Anchor = {"origin": ("left_shoulder", "right_shoulder"), "scale": ("left_shoulder", "right_shoulder")}
GROUPS: Mapping[str, Anchor] = {
    "pose": BODY,
    "face": {
        "origin": ("left_eye_lower_0", "right_eye_lower_0"),
        "scale": ("left_eye_lower_0", "right_eye_lower_0"),
    },
    "rh": {"origin": ("right_hand_wrist",), "scale": ("right_hand_wrist", "right_hand_middle_mcp")},
    "lh": {"origin": ("left_hand_wrist",), "scale": ("left_hand_wrist", "left_hand_middle_mcp")},
}

if TYPE_CHECKING:
    from karsl.datasets.fused.pending import PendingClips


@dataclass(frozen=True)
class Frame:
    """Origin (2,) and scale of a set of points over a clip."""

    origin: np.ndarray
    scale: float


def anchor_frame(keypoint: np.ndarray, present: np.ndarray, origin: np.ndarray, scale: np.ndarray) -> Frame | None:
    """Mean place of some named points and mean distance of two others, over the frames where they are seen.

    Args:
        keypoint: float32 (T, V, C).
        present: bool (T, V).
        origin: Keypoint numbers whose mean is the origin.
        scale: Two keypoint numbers whose distance in the picture is the unit.

    Returns:
        None where the points are never seen together, or lie on each other.
    """
    seen = present[:, origin].all(1) & present[:, scale].all(1)
    if not seen.any():
        return None
    place = keypoint[:, origin, :2][seen].mean((0, 1), dtype=np.float64)
    a, b = keypoint[:, scale[0], :2][seen], keypoint[:, scale[1], :2][seen]
    unit = float(np.linalg.norm((a - b).astype(np.float64), axis=-1).mean())
    return Frame(place, unit) if unit > 1e-9 else None


def spread_frame(keypoint: np.ndarray, present: np.ndarray) -> Frame:
    """Mean and root-mean-square radius of all present points; what serves where the named points are never seen."""
    points = keypoint[present][:, :2].astype(np.float64)
    if not len(points):
        return Frame(np.zeros(2), 1.0)
    radius = float(np.sqrt(((points - points.mean(0)) ** 2).sum(-1).mean()))
    return Frame(points.mean(0), radius if radius > 1e-9 else 1.0)


def _are_names(value: object, count: int | None = None) -> bool:
    """Whether a value is a list or tuple of (`count`) names."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    return count in (None, len(value)) and all(isinstance(v, str) for v in value)


def _is_anchor(value: object) -> bool:
    if not isinstance(value, Mapping) or set(value) != {"origin", "scale"}:
        return False
    return _are_names(value["origin"]) and _are_names(value["scale"], 2)


@TRANSFORMS.register_module()
class CenterScale(KeypointTransform):
    """Put the origin at named points and make a named distance 1, once a clip, so that motion stays.

    By default the whole body is moved by the middle of the shoulders and scaled by their distance. With `per_group`
    each group has its own: face by the outer eye corners, hands by wrist and middle knuckle. z is only scaled, since
    MediaPipe gives each group a z of its own. Where the named points are never seen, the mean and spread of the
    points that are seen serve.

    Required Keys:
        keypoint, keypoint_score, skeleton
    Modified Keys:
        keypoint: float32 (T, V, C).
    Added Keys:
        centred: True; flip and affine then work about the origin.

    Args:
        per_group: Each group by its own points.
        anchors: Own points: group (`'body'` without `per_group`) to `{'origin': names, 'scale': (name, name)}`; groups
            that are not named take mean and spread.

    Raises:
        ConfigError: `anchors` is not of that form.
        SkeletonError: A named point or group is not in the skeleton.
    """

    def __init__(self, *, per_group: bool = False, anchors: Mapping[str, Anchor] | None = None) -> None:
        if anchors is not None and not (isinstance(anchors, Mapping) and all(map(_is_anchor, anchors.values()))):
            raise ConfigError(
                f"CenterScale: anchors={anchors!r}; expected groups, each as {{'origin': names, 'scale': two names}}"
            )
        self.per_group = per_group
        self.anchors = None if anchors is None else {group: dict(anchor) for group, anchor in anchors.items()}
        self._anchors: Mapping[str, Anchor] = self.anchors or (GROUPS if per_group else {"body": BODY})
        if not per_group and set(self._anchors) != {"body"}:
            raise ConfigError(f"CenterScale: anchors of {sorted(self._anchors)} need per_group=True; else give 'body'")

    def apply(self, results: dict, params: Params) -> dict:
        skeleton = results["skeleton"]
        keypoint, present = results["keypoint"].copy(), results["keypoint_score"] > 0
        for group, part in self._slices(skeleton).items():
            frame = None
            if group in self._anchors:
                anchor = self._anchors[group]
                origin, scale = skeleton.indices(anchor["origin"]), skeleton.indices(anchor["scale"])
                frame = anchor_frame(results["keypoint"], present, origin, scale)
            frame = frame or spread_frame(results["keypoint"][:, part], present[:, part])
            keypoint[:, part, :2] -= frame.origin.astype(np.float32)
            keypoint[:, part] /= np.float32(frame.scale)
        return {"keypoint": keypoint, "centred": True}

    def defer(self, clips: PendingClips, params: Params) -> None:
        moves = []
        for group, part in self._slices(clips.skeleton).items():
            place, unit, found = np.zeros((len(clips), 2)), np.ones(len(clips)), np.zeros(len(clips), bool)
            if group in self._anchors:
                anchor = self._anchors[group]
                origin, scale = clips.skeleton.indices(anchor["origin"]), clips.skeleton.indices(anchor["scale"])
                place, unit, found = clips.anchors(origin, scale)
            if not found.all():
                mean, radius, _ = clips.spread(part, ~found)
                place, unit = np.where(found[:, None], place, mean), np.where(found, unit, radius)
            moves.append(similarity(1 / unit, -place / unit[:, None]))
        clips.move(np.concatenate(moves, axis=1))
        clips.centred = True

    def _slices(self, skeleton: Skeleton) -> dict[str, slice]:
        slices = skeleton.groups if self.per_group else {"body": slice(0, skeleton.num_keypoints)}
        unknown = sorted(set(self.anchors or ()) - set(slices))
        if unknown:
            raise SkeletonError(f"CenterScale: anchors of {unknown}, but {skeleton.name!r} has groups {list(slices)}")
        return slices


@TRANSFORMS.register_module()
class FillMissing(KeypointTransform):
    """Give missing points coordinates; their score stays 0, so a mask still tells them apart. Use it last.

    Required Keys:
        keypoint, keypoint_score
    Modified Keys:
        keypoint: float32 (T, V, C) without NaN.

    Args:
        mode: `'constant'`; `'hold'` takes the point's last seen place (first seen before that); `'linear'` goes
            straight from the last to the next seen place.
        value: For `'constant'`, and for points never seen in the clip.

    Raises:
        ConfigError: An unknown mode, or a value that is no finite number.
    """

    MODES = ("constant", "hold", "linear")

    def __init__(self, mode: str = "constant", *, value: float = 0.0) -> None:
        if mode not in self.MODES:
            raise ConfigError(f"FillMissing: mode={mode!r}; expected one of {self.MODES}")
        self.mode, self.value = mode, check_number(self, "value", value)

    def apply(self, results: dict, params: Params) -> dict:
        keypoint, present = results["keypoint"].copy(), results["keypoint_score"] > 0
        if self.mode != "constant":
            before, after = _nearest_seen(present)
            first, last = np.where(before < 0, after, before), np.where(after < 0, before, after)
            never = first < 0
            weight = np.zeros(present.shape, np.float32)
            if self.mode == "linear":
                time = np.arange(len(present))[:, None]
                weight = ((time - first) / np.maximum(last - first, 1)).astype(np.float32)
            columns = np.arange(present.shape[1])
            start, end = keypoint[first, columns], keypoint[last, columns]
            filled = np.where(weight[..., None] == 0, start, start + (end - start) * weight[..., None])
            keypoint = np.where((present | never)[..., None], keypoint, filled)
        keypoint[np.isnan(keypoint)] = self.value
        return {"keypoint": keypoint}

    def can_defer(self) -> bool:
        return self.mode == "constant" and super().can_defer()

    def defer(self, clips: PendingClips, params: Params) -> None:
        clips.fill = self.value


def _nearest_seen(present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64 (T, V) twice: the last frame at or before, and the first at or after, in which a point is seen; else -1."""
    frames = len(present)
    time = np.arange(frames)[:, None]
    before = np.maximum.accumulate(np.where(present, time, -1), axis=0)
    after = np.minimum.accumulate(np.where(present, time, frames)[::-1], axis=0)[::-1]
    return before, np.where(after == frames, -1, after)
