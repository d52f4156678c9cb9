"""Geometric transforms in the image plane: mirror, rotate, scale, translate."""

from __future__ import annotations

import numpy as np

from karsl.checks import check_prob, check_range
from karsl.datasets.rng import CounterRNG
from karsl.datasets.transforms.base import ClipMeta, DeferredOps, KeypointTransform, Params, clip_meta
from karsl.errors import ConfigError
from karsl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomFlip(KeypointTransform):
    """Mirror a clip: reflect x and swap each left keypoint with its right counterpart.

    Some signs of KArSL are performed with either hand, so mirrored clips are valid samples.

    Required Keys:
        keypoint, keypoint_score, skeleton
    Modified Keys:
        keypoint: float32 (T, V, C).
        keypoint_score: float32 (T, V).
    Added Keys:
        flip: bool, True if this clip was mirrored.

    Args:
        prob: Probability of mirroring a clip.

    Raises:
        SkeletonError: If a keypoint has no counterpart on the other side.
    """

    modified_keys = ("keypoint", "keypoint_score", "flip")

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = check_prob(self, "prob", prob)

    def get_params(self, meta: ClipMeta, rng: CounterRNG) -> Params:
        return {"flip": rng.bernoulli("flip", self.prob)}

    def apply(self, results: dict, params: Params) -> dict:
        mirror = results["skeleton"].mirror
        if not params["flip"]:
            return {"flip": False}
        keypoint = np.take(results["keypoint"], mirror, axis=1)  # [:, mirror] would not be contiguous
        keypoint[..., 0] = np.float32(2 * clip_meta(results).pivot) - keypoint[..., 0]
        return {"keypoint": keypoint, "keypoint_score": np.take(results["keypoint_score"], mirror, axis=1), "flip": True}

    def defer(self, batch: DeferredOps, params: Params) -> None:
        batch.mirror(params["flip"])


@TRANSFORMS.register_module()
class RandomAffine(KeypointTransform):
    """Rotate, scale and translate a clip in the image plane, with the same parameters for all its frames.

    The body is rotated about the center of the image (about the origin after CenterScale). With `per_group` each group has
    its own parameters and is rotated about the mean of its keypoints. z is scaled, not rotated. If x and y are fractions of
    an image that is not square, pass its `aspect`; otherwise a rotation shears the body.

    Required Keys:
        keypoint, keypoint_score, skeleton
    Modified Keys:
        keypoint: float32 (T, V, C).

    Args:
        rotation_deg: (low, high) in degrees, positive from x to y.
        scale: (low, high) scale factor.
        shift: (low, high) translation of x and of y, in units of the coordinates.
        per_group: Sample parameters for each group instead of once for the body.
        aspect: Width of the image divided by its height, e.g. 16 / 9; 1 if x and y have the same unit.

    Raises:
        ConfigError: If a range is not two ascending numbers, or a scale or aspect is not above 0.
    """

    modified_keys = ("keypoint",)

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
            raise ConfigError(f"RandomAffine: aspect={aspect!r}; expected the image's width divided by its height, above 0")
        self.per_group, self.aspect = per_group, float(aspect)

    def get_params(self, meta: ClipMeta, rng: CounterRNG) -> Params:
        groups = len(meta.skeleton.groups) if self.per_group else 1

        def uniform(name: str, limits: tuple[float, float], *shape: int) -> np.ndarray:
            return rng.uniform(name, groups, *shape, low=limits[0], high=limits[1])

        angle, scale = np.deg2rad(uniform("rotation", self.rotation_deg)), uniform("scale", self.scale)
        matrix = np.empty((*angle.shape, 2, 2))
        matrix[..., 0, 0] = matrix[..., 1, 1] = np.cos(angle) * scale
        sine = np.sin(angle) * scale
        matrix[..., 1, 0], matrix[..., 0, 1] = sine * self.aspect, -sine / self.aspect
        return {"matrix": matrix, "scale": scale, "shift": uniform("shift", self.shift, 2)}

    def apply(self, results: dict, params: Params) -> dict:
        keypoint, score = results["keypoint"].copy(), results["keypoint_score"]
        slices = results["skeleton"].groups.values() if self.per_group else [slice(None)]
        center = np.full(2, clip_meta(results).pivot)
        for part, matrix, scale, shift in zip(slices, params["matrix"], params["scale"], params["shift"], strict=True):
            points, present = keypoint[:, part], score[:, part] > 0
            is_seen = self.per_group and present.any()
            pivot = points[present][:, :2].mean(0, dtype=np.float64) if is_seen else center
            offset = (shift + pivot - matrix @ pivot).astype(np.float32)
            points[..., :2] = points[..., :2] @ matrix.T.astype(np.float32) + offset
            points[..., 2:] *= np.float32(scale)
        return {"keypoint": keypoint}

    def defer(self, batch: DeferredOps, params: Params) -> None:
        matrix, scale, pivot = params["matrix"], params["scale"], batch.meta.pivot
        affine = np.empty((*scale.shape, 7))
        affine[..., :4] = matrix.reshape(*scale.shape, 4)
        if self.per_group:
            means, counts = batch.group_means()
            pivots = np.where(counts[..., None] > 0, means, pivot)
            turned = matrix[..., 0] * pivots[..., :1] + matrix[..., 1] * pivots[..., 1:]  # 5 times as fast as `@`
            affine[..., 4:6] = params["shift"] + pivots - turned
        else:
            affine[..., 4:6] = params["shift"] + pivot - (matrix[..., 0] + matrix[..., 1]) * pivot
        affine[..., 6] = scale
        batch.affine(affine)
