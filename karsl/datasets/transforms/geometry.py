"""Move a signer in the picture: mirror, turn, scale, shift."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from karsl.checks import check_prob, check_range
from karsl.datasets.rng import CounterRNG
from karsl.datasets.transforms.base import ClipMeta, KeypointTransform, Params, clip_meta
from karsl.errors import ConfigError
from karsl.registry import TRANSFORMS

if TYPE_CHECKING:
    from karsl.datasets.fused.pending import PendingClips


@TRANSFORMS.register_module()
class RandomFlip(KeypointTransform):
    """Mirror a signer: x is reflected and every left point changes place with its right partner.

    Some signs are performed with either hand, so this is a legitimate augmentation of KArSL.

    Required Keys:
        keypoint, keypoint_score, skeleton
    Modified Keys:
        keypoint: float32 (T, V, C).
        keypoint_score: float32 (T, V).
    Added Keys:
        flip: bool, whether this clip was mirrored.

    Args:
        prob: Probability of mirroring a clip.

    Raises:
        SkeletonError: A keypoint has no partner of the other side.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = check_prob(self, "prob", prob)

    def sample_params(self, meta: ClipMeta, draw: CounterRNG) -> Params:
        return {"flip": draw.bernoulli("flip", self.prob)}

    def apply(self, results: dict, params: Params) -> dict:
        mirror = results["skeleton"].mirror
        if not params["flip"]:
            return {"flip": False}
        keypoint = np.take(results["keypoint"], mirror, axis=1)  # [:, mirror] would not be contiguous
        keypoint[..., 0] = np.float32(2 * clip_meta(results).pivot) - keypoint[..., 0]
        return {"keypoint": keypoint, "keypoint_score": np.take(results["keypoint_score"], mirror, axis=1), "flip": True}

    def defer(self, clips: PendingClips, params: Params) -> None:
        clips.mirror(params["flip"])


@TRANSFORMS.register_module()
class RandomAffine(KeypointTransform):
    """Turn, scale and shift a clip in the picture plane, one draw for all its frames.

    The whole body turns about the image's centre (about the origin after CenterScale); with `per_group` each group
    turns about the mean of its own points and is drawn on its own. z is scaled along, not turned. Where x and y are shares
    of a picture that is not square, tell its `aspect`: a turn shears the signer otherwise.

    Required Keys:
        keypoint, keypoint_score, skeleton
    Modified Keys:
        keypoint: float32 (T, V, C).

    Args:
        rotation_deg: (from, to) in degrees, positive turns from x to y.
        scale: (from, to) ratio.
        shift: (from, to) of x and of y, in units of the coordinates.
        per_group: Draw for each group instead of once for the body.
        aspect: Width of the picture over its height, 16 / 9 say; 1 where x and y have one unit.

    Raises:
        ConfigError: A range that is not two ascending numbers, a scale or an aspect of 0 or below.
    """

    def __init__(
        self,
        rotation_deg: tuple[float, float] = (-10, 10),
        scale: tuple[float, float] = (0.9, 1.1),
        *,
        shift: tuple[float, float] = (-0.05, 0.05),
        per_group: bool = False,
        aspect: float = 1.0,
    ) -> None:
        self.rotation_deg = check_range(self, "rotation_deg", rotation_deg)
        self.scale = check_range(self, "scale", scale, low=1e-6)
        self.shift = check_range(self, "shift", shift)
        if not isinstance(aspect, (int, float)) or not 0 < aspect < np.inf:
            raise ConfigError(f"RandomAffine: aspect={aspect!r}; expected the picture's width over its height, above 0")
        self.per_group, self.aspect = per_group, float(aspect)

    def sample_params(self, meta: ClipMeta, draw: CounterRNG) -> Params:
        groups = len(meta.skeleton.groups) if self.per_group else 1

        def between(lane: str, pair: tuple[float, float], *shape: int) -> np.ndarray:
            return draw.uniform(lane, groups, *shape, low=pair[0], high=pair[1])

        angle, scale = np.deg2rad(between("rotation", self.rotation_deg)), between("scale", self.scale)
        matrix = np.empty((*angle.shape, 2, 2))
        matrix[..., 0, 0] = matrix[..., 1, 1] = np.cos(angle) * scale
        turned = np.sin(angle) * scale
        matrix[..., 1, 0], matrix[..., 0, 1] = turned * self.aspect, -turned / self.aspect
        return {"matrix": matrix, "scale": scale, "shift": between("shift", self.shift, 2)}

    def apply(self, results: dict, params: Params) -> dict:
        keypoint, score = results["keypoint"].copy(), results["keypoint_score"]
        slices = results["skeleton"].groups.values() if self.per_group else [slice(None)]
        pivot = np.full(2, clip_meta(results).pivot)
        for part, matrix, scale, shift in zip(slices, params["matrix"], params["scale"], params["shift"], strict=True):
            points, present = keypoint[:, part], score[:, part] > 0
            if self.per_group:
                pivot = points[present][:, :2].mean(0, dtype=np.float64) if present.any() else pivot
            offset = (shift + pivot - matrix @ pivot).astype(np.float32)
            points[..., :2] = points[..., :2] @ matrix.T.astype(np.float32) + offset
            points[..., 2:] *= np.float32(scale)
        return {"keypoint": keypoint}

    def defer(self, clips: PendingClips, params: Params) -> None:
        matrix, scale, pivot = params["matrix"], params["scale"], clips.meta.pivot
        affine = np.empty((*scale.shape, 7))
        affine[..., :4] = matrix.reshape(*scale.shape, 4)
        if self.per_group:
            pivots = np.full((*scale.shape, 2), pivot)
            for number, part in enumerate(clips.skeleton.groups.values()):
                place, _, seen = clips.spread(part, np.ones(len(scale), bool))
                pivots[:, number] = np.where(seen[:, None] > 0, place, pivot)
            affine[..., 4:6] = params["shift"] + pivots - (matrix @ pivots[..., None])[..., 0]
        else:
            affine[..., 4:6] = params["shift"] + pivot - (matrix[..., 0] + matrix[..., 1]) * pivot
        affine[..., 6] = scale
        clips.move(affine)
