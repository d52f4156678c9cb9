"""Take points away or shake them, as a detector does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from karsl.checks import check_number, check_prob
from karsl.datasets.rng import CounterRNG
from karsl.datasets.transforms.base import ClipMeta, KeypointTransform, Params
from karsl.errors import ConfigError, SkeletonError
from karsl.registry import TRANSFORMS

if TYPE_CHECKING:
    from karsl.datasets.fused.pending import PendingClips


def hide(results: dict, hidden: np.ndarray) -> dict:
    """The changed keys when the points of a bool (T, V) mask go missing: NaN and score 0."""
    return {
        "keypoint": np.where(hidden[..., None], np.float32(np.nan), results["keypoint"]),
        "keypoint_score": np.where(hidden, np.float32(0), results["keypoint_score"]),
    }


@TRANSFORMS.register_module()
class KeypointDropout(KeypointTransform):
    """Hide keypoints, or whole groups, for all of a clip.

    Required Keys:
        keypoint, keypoint_score, skeleton
    Modified Keys:
        keypoint: float32 (T, V, C), NaN where hidden.
        keypoint_score: float32 (T, V), 0 where hidden.

    Args:
        prob: Probability for each keypoint, or each group.
        level: `'keypoint'` or `'group'`.
        groups: Groups that may lose points; None is all.

    Raises:
        ConfigError: An unknown level or a probability outside [0, 1].
        SkeletonError: The skeleton has no such group.
    """

    def __init__(self, prob: float = 0.1, *, level: str = "keypoint", groups: Sequence[str] | None = None) -> None:
        if level not in ("keypoint", "group"):
            raise ConfigError(f"KeypointDropout: level={level!r}; expected 'keypoint' or 'group'")
        self.prob, self.level = check_prob(self, "prob", prob), level
        if isinstance(groups, str):
            raise ConfigError(f"KeypointDropout: groups={groups!r}; expected a list, e.g. [{groups!r}]")
        self.groups = None if groups is None else tuple(groups)

    def sample_params(self, meta: ClipMeta, draw: CounterRNG) -> Params:
        parts = meta.skeleton.groups
        unknown = set(self.groups or ()) - set(parts)
        if unknown:
            raise SkeletonError(f"KeypointDropout: no group {sorted(unknown)} in {meta.skeleton.name!r}: {list(parts)}")
        hidden = np.zeros((len(draw), meta.skeleton.num_keypoints), bool)
        by_keypoint = draw.bernoulli("hide", self.prob, meta.skeleton.num_keypoints)
        by_group = draw.bernoulli("hide group", self.prob, len(parts))
        for number, (group, part) in enumerate(parts.items()):
            if self.groups is None or group in self.groups:
                hidden[:, part] = by_keypoint[:, part] if self.level == "keypoint" else by_group[:, number, None]
        return {"hidden": hidden}

    def apply(self, results: dict, params: Params) -> dict:
        return hide(results, np.broadcast_to(params["hidden"], results["keypoint_score"].shape))

    def defer(self, clips: PendingClips, params: Params) -> None:
        clips.hide(params["hidden"])


@TRANSFORMS.register_module()
class FrameDropout(KeypointTransform):
    """Hide every point of some frames, as when detection fails; one frame at least stays.

    Required Keys:
        keypoint, keypoint_score
    Modified Keys:
        keypoint: float32 (T, V, C), NaN where hidden.
        keypoint_score: float32 (T, V), 0 where hidden.

    Args:
        prob: Probability for each frame.
    """

    def __init__(self, prob: float = 0.1) -> None:
        self.prob = check_prob(self, "prob", prob)

    def sample_params(self, meta: ClipMeta, draw: CounterRNG) -> Params:
        longest = int(meta.num_frames.max())
        hidden = draw.bernoulli("hide", self.prob, longest)
        hidden[np.arange(len(hidden)), draw.integers("keep", meta.num_frames)] = False
        return {"hidden": hidden}

    def apply(self, results: dict, params: Params) -> dict:
        score = results["keypoint_score"]
        return hide(results, np.broadcast_to(params["hidden"][: len(score), None], score.shape))

    def defer(self, clips: PendingClips, params: Params) -> None:
        clips.hide_frames([h[:t] for h, t in zip(params["hidden"], clips.num_frames, strict=True)])


@TRANSFORMS.register_module()
class GaussianJitter(KeypointTransform):
    """Add independent normal noise to every coordinate of every present point.

    Required Keys:
        keypoint
    Modified Keys:
        keypoint: float32 (T, V, C).

    Args:
        sigma: Standard deviation, in units of the coordinates.

    Raises:
        ConfigError: `sigma` is no finite number of 0 or more.
    """

    def __init__(self, sigma: float = 0.005) -> None:
        self.sigma = check_number(self, "sigma", sigma, low=0)

    def sample_params(self, meta: ClipMeta, draw: CounterRNG) -> Params:
        return {"noise_key": draw.bits("noise")}

    def apply(self, results: dict, params: Params) -> dict:
        keypoint = results["keypoint"]
        noise = np.random.Generator(np.random.Philox(key=int(params["noise_key"])))
        return {"keypoint": keypoint + np.float32(self.sigma) * noise.standard_normal(keypoint.shape, dtype=np.float32)}
