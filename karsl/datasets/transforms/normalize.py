"""Normalization of position and scale by named keypoints, and filling of missing keypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from karsl.checks import check_number
from karsl.datasets.transforms.base import DeferredOps, KeypointTransform, Params, identity_affine
from karsl.errors import ConfigError, SkeletonError
from karsl.registry import TRANSFORMS
from karsl.skeletons import Skeleton

AnchorNames = Mapping[str, Sequence[str]]
BODY: AnchorNames = {"origin": ("left_shoulder", "right_shoulder"), "scale": ("left_shoulder", "right_shoulder")}
GROUPS: Mapping[str, AnchorNames] = {
    "pose": BODY,
    "face": {
        "origin": ("left_eye_lower_0", "right_eye_lower_0"),
        "scale": ("left_eye_lower_0", "right_eye_lower_0"),
    },
    "rh": {"origin": ("right_hand_wrist",), "scale": ("right_hand_wrist", "right_hand_middle_mcp")},
    "lh": {"origin": ("left_hand_wrist",), "scale": ("left_hand_wrist", "left_hand_middle_mcp")},
}


@dataclass(frozen=True)
class Anchor:
    """Origin (2,) and scale of a set of points over a clip."""

    origin: np.ndarray
    scale: float


def anchor_of(keypoint: np.ndarray, present: np.ndarray, origin: np.ndarray, scale: np.ndarray) -> Anchor | None:
    """Return the mean of some points and the mean distance of two points, over the frames where all are present.

    Args:
        keypoint: float32 (T, V, C).
        present: bool (T, V).
        origin: Indices of the keypoints whose mean is the origin.
        scale: Indices of two keypoints whose distance in the image plane is the scale.

    Returns:
        None if the points are never present together, or coincide.
    """
    seen = present[:, origin].all(1) & present[:, scale].all(1)
    if not seen.any():
        return None
    mean = keypoint[:, origin, :2][seen].mean((0, 1), dtype=np.float64)
    a, b = keypoint[:, scale[0], :2][seen], keypoint[:, scale[1], :2][seen]
    distance = float(np.linalg.norm((a - b).astype(np.float64), axis=-1).mean())
    return Anchor(mean, distance) if distance > 1e-9 else None


def scale_of(keypoint: np.ndarray, present: np.ndarray) -> Anchor:
    """Return the mean and the root-mean-square radius of all present points."""
    points = keypoint[present][:, :2].astype(np.float64)
    if not len(points):
        return Anchor(np.zeros(2), 1.0)
    radius = float(np.sqrt(((points - points.mean(0)) ** 2).sum(-1).mean()))
    return Anchor(points.mean(0), radius if radius > 1e-9 else 1.0)


def _are_names(value: object, count: int | None = None) -> bool:
    """Return True if `value` is a list or tuple of (`count`) names."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    return count in (None, len(value)) and all(isinstance(v, str) for v in value)


def _is_anchor(value: object) -> bool:
    if not isinstance(value, Mapping) or set(value) != {"origin", "scale"}:
        return False
    return _are_names(value["origin"]) and _are_names(value["scale"], 2)


@TRANSFORMS.register_module()
class CenterScale(KeypointTransform):
    """Move the origin to named keypoints and scale a named distance to 1, once per clip, so that motion is preserved.

    By default the origin is the middle of the shoulders, and the scale is their distance. With `per_group` each group has
    its own: the face uses the outer eye corners, a hand its wrist and middle knuckle. z is only scaled, since MediaPipe has
    a separate z per group. If the named keypoints are never present, the mean and the root-mean-square radius of all present
    keypoints are used.

    Required Keys:
        keypoint, keypoint_score, skeleton
    Modified Keys:
        keypoint: float32 (T, V, C).
    Added Keys:
        centered: True; RandomFlip and RandomAffine then operate about the origin.

    Args:
        per_group: Normalize each group by its own keypoints.
        anchors: Keypoints per group (`'body'` without `per_group`): `{'origin': names, 'scale': (name, name)}`. Groups
            without an entry use the mean and radius of their keypoints.

    Raises:
        ConfigError: If `anchors` does not have this structure.
        SkeletonError: If a named keypoint or group is not in the skeleton.
    """

    modified_keys = ("keypoint", "centered")

    def __init__(self, *, per_group: bool = False, anchors: Mapping[str, AnchorNames] | None = None) -> None:
        if anchors is not None and not (isinstance(anchors, Mapping) and all(map(_is_anchor, anchors.values()))):
            raise ConfigError(
                f"CenterScale: anchors={anchors!r}; expected groups, each as {{'origin': names, 'scale': two names}}"
            )
        self.per_group = per_group
        self.anchors = None if anchors is None else {group: dict(anchor) for group, anchor in anchors.items()}
        self._anchors: Mapping[str, AnchorNames] = self.anchors or (GROUPS if per_group else {"body": BODY})
        if not per_group and set(self._anchors) != {"body"}:
            raise ConfigError(f"CenterScale: anchors of {sorted(self._anchors)} need per_group=True; else give 'body'")

    def apply(self, results: dict, params: Params) -> dict:
        skeleton = results["skeleton"]
        keypoint, present = results["keypoint"].copy(), results["keypoint_score"] > 0
        for group, part in self._slices(skeleton).items():
            anchor = None
            if group in self._anchors:
                anchor = anchor_of(results["keypoint"], present, *self._indices(group, skeleton))
            anchor = anchor or scale_of(results["keypoint"][:, part], present[:, part])
            keypoint[:, part, :2] -= anchor.origin.astype(np.float32)
            keypoint[:, part] /= np.float32(anchor.scale)
        return {"keypoint": keypoint, "centered": True}

    def defer(self, batch: DeferredOps, params: Params) -> None:
        slices = self._slices(batch.skeleton)
        anchored = [group for group in slices if group in self._anchors]
        shape = len(batch), len(slices)
        origin, scale, found = np.zeros((*shape, 2)), np.ones(shape), np.zeros(shape, bool)
        if anchored:
            columns = [list(slices).index(group) for group in anchored]
            anchors = [self._indices(group, batch.skeleton) for group in anchored]
            origin[:, columns], scale[:, columns], found[:, columns] = batch.group_anchors(anchors)
        for g, part in enumerate(slices.values()):
            absent = ~found[:, g]
            if absent.any():
                mean, radius, _ = batch.group_scale(part, absent)
                origin[absent, g], scale[absent, g] = mean[absent], radius[absent]
        batch.affine(_similarity_affine(1 / scale, -origin / scale[..., None]))
        batch.centered = True

    def _indices(self, group: str, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
        names = self._anchors[group]
        return skeleton.indices(names["origin"]), skeleton.indices(names["scale"])

    def _slices(self, skeleton: Skeleton) -> dict[str, slice]:
        slices = skeleton.groups if self.per_group else {"body": slice(0, skeleton.num_keypoints)}
        unknown = sorted(set(self.anchors or ()) - set(slices))
        if unknown:
            raise SkeletonError(f"CenterScale: anchors of {unknown}, but {skeleton.name!r} has groups {list(slices)}")
        return slices


def _similarity_affine(scale: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Return float64 (N, G, 7) affines `x * scale + offset` for scale (N, G) and offset (N, G, 2)."""
    affine = identity_affine(*scale.shape)
    affine[..., 0] = affine[..., 3] = affine[..., 6] = scale
    affine[..., 4:6] = offset
    return affine


@TRANSFORMS.register_module()
class FillMissing(KeypointTransform):
    """Fill the coordinates of missing keypoints. Their score stays 0, so a mask still shows them. Use it last.

    Required Keys:
        keypoint, keypoint_score
    Modified Keys:
        keypoint: float32 (T, V, C) without NaN.

    Args:
        mode: `'constant'` uses `value`; `'previous'` the last present position of the keypoint, or the first one for frames
            before it; `'linear'` interpolates between the last and the next present position.
        value: Coordinate for `'constant'`, and for keypoints that are never present in the clip.

    Raises:
        ConfigError: If `mode` is unknown, or `value` is not a finite number.
    """

    modified_keys = ("keypoint",)
    MODES = ("constant", "previous", "linear")

    def __init__(self, mode: str = "constant", *, value: float = 0.0) -> None:
        if mode not in self.MODES:
            raise ConfigError(f"FillMissing: mode={mode!r}; expected one of {self.MODES}")
        self.mode, self.value = mode, check_number(self, "value", value)

    def apply(self, results: dict, params: Params) -> dict:
        keypoint, present = results["keypoint"].copy(), results["keypoint_score"] > 0
        if self.mode != "constant":
            before, after = _nearest_present(present)
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

    def defer(self, batch: DeferredOps, params: Params) -> None:
        batch.fill(self.mode, self.value)


def _nearest_present(present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return int64 (T, V) twice: the last frame at or before and the first at or after with the point present, else -1."""
    frames = len(present)
    time = np.arange(frames)[:, None]
    before = np.maximum.accumulate(np.where(present, time, -1), axis=0)
    after = np.minimum.accumulate(np.where(present, time, frames)[::-1], axis=0)[::-1]
    return before, np.where(after == frames, -1, after)
