"""Augmentation by missing keypoints, as a detector produces them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from karsl.checks import check_prob
from karsl.datasets.rng import CounterRNG
from karsl.datasets.transforms.base import ClipMeta, DeferredOps, KeypointTransform, Params
from karsl.errors import ConfigError, SkeletonError
from karsl.registry import TRANSFORMS


def mask_points(results: dict, hidden: np.ndarray) -> dict:
    """Return the changed keys when the points of a bool (T, V) mask are missing: NaN and score 0."""
    return {
        "keypoint": np.where(hidden[..., None], np.float32(np.nan), results["keypoint"]),
        "keypoint_score": np.where(hidden, np.float32(0), results["keypoint_score"]),
    }


@TRANSFORMS.register_module()
class KeypointDropout(KeypointTransform):
    """Hide keypoints, or entire groups, in all frames of a clip.

    Required Keys:
        keypoint, keypoint_score, skeleton
    Modified Keys:
        keypoint: float32 (T, V, C), NaN where hidden.
        keypoint_score: float32 (T, V), 0 where hidden.

    Args:
        prob: Probability of hiding a keypoint or a group.
        level: Unit to hide, `'keypoint'` or `'group'`.
        groups: Groups in which keypoints may be hidden; None means all.

    Raises:
        ConfigError: If `level` is unknown, `prob` is outside [0, 1], or `groups` is a string.
        SkeletonError: If the skeleton has no such group.
    """

    modified_keys = ("keypoint", "keypoint_score")

    def __init__(self, prob: float = 0.1, *, level: str = "keypoint", groups: Sequence[str] | None = None) -> None:
        if level not in ("keypoint", "group"):
            raise ConfigError(f"KeypointDropout: level={level!r}; expected 'keypoint' or 'group'")
        self.prob, self.level = check_prob(self, "prob", prob), level
        if isinstance(groups, str):
            raise ConfigError(f"KeypointDropout: groups={groups!r}; expected a list, e.g. [{groups!r}]")
        self.groups = None if groups is None else tuple(groups)

    def get_params(self, meta: ClipMeta, rng: CounterRNG) -> Params:
        slices = meta.skeleton.groups
        unknown = set(self.groups or ()) - set(slices)
        if unknown:
            raise SkeletonError(f"KeypointDropout: no group {sorted(unknown)} in {meta.skeleton.name!r}: {list(slices)}")
        if self.level == "keypoint":
            hidden = rng.bernoulli("hide", self.prob, meta.skeleton.num_keypoints)
        else:
            hidden = np.take(rng.bernoulli("hide group", self.prob, len(slices)), meta.skeleton.group_of, axis=1)
        for group, part in slices.items():
            if self.groups is not None and group not in self.groups:
                hidden[:, part] = False
        return {"hidden": hidden}

    def apply(self, results: dict, params: Params) -> dict:
        return mask_points(results, np.broadcast_to(params["hidden"], results["keypoint_score"].shape))

    def defer(self, batch: DeferredOps, params: Params) -> None:
        batch.mask(params["hidden"])


@TRANSFORMS.register_module()
class FrameDropout(KeypointTransform):
    """Hide all keypoints of some frames, as if detection had failed there. At least one frame stays visible.

    Required Keys:
        keypoint, keypoint_score
    Modified Keys:
        keypoint: float32 (T, V, C), NaN where hidden.
        keypoint_score: float32 (T, V), 0 where hidden.

    Args:
        prob: Probability of hiding a frame.

    Raises:
        ConfigError: If `prob` is outside [0, 1].
    """

    modified_keys = ("keypoint", "keypoint_score")

    def __init__(self, prob: float = 0.1) -> None:
        self.prob = check_prob(self, "prob", prob)

    def get_params(self, meta: ClipMeta, rng: CounterRNG) -> Params:
        longest = int(meta.num_frames.max())
        hidden = rng.bernoulli("hide", self.prob, longest)
        hidden[np.arange(len(hidden)), rng.integers("keep", meta.num_frames)] = False
        return {"hidden": hidden}

    def apply(self, results: dict, params: Params) -> dict:
        score = results["keypoint_score"]
        return mask_points(results, np.broadcast_to(params["hidden"][: len(score), None], score.shape))

    def defer(self, batch: DeferredOps, params: Params) -> None:
        batch.mask_frames([row[:frames] for row, frames in zip(params["hidden"], batch.num_frames, strict=True)])
