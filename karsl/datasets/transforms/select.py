"""Keep some keypoints, or bring a clip to another skeleton by names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from karsl.datasets.transforms.base import KeypointTransform, Params
from karsl.errors import ConfigError, SkeletonError
from karsl.registry import TRANSFORMS
from karsl.skeletons import Skeleton, get_skeleton

if TYPE_CHECKING:
    from karsl.datasets.fused.pending import PendingClips


@lru_cache(maxsize=64)
def _selected(source: Skeleton, names: tuple[str, ...]) -> Skeleton:
    """One object for all clips, so that its mirror and groups are worked out once."""
    return source.select(names)


@TRANSFORMS.register_module()
class SelectKeypoints(KeypointTransform):
    """Keep the named keypoints; the skeleton changes with them, so everything after stays right.

    Required Keys:
        keypoint, keypoint_score, skeleton
    Modified Keys:
        keypoint: float32 (T, V', C).
        keypoint_score: float32 (T, V').
        skeleton: Of the V' keypoints.

    Args:
        names: Keypoints or groups to keep, in array order.
        skeleton: Instead of `names`: the layout to give; points are found by name.
        absent: With `skeleton`: `'raise'`, or `'missing'` to give points that the source lacks as missing.

    Raises:
        ConfigError: Both or neither of `names` and `skeleton`.
        SkeletonError: A point that the source lacks.

    Example:
        >>> hands = SelectKeypoints(["rh", "lh"])
        >>> clip = dict(keypoint=np.zeros((2, 184, 3)), keypoint_score=np.ones((2, 184)),
        ...             skeleton=get_skeleton("karsl_184"))
        >>> hands(clip)["keypoint"].shape
        (2, 42, 3)
    """

    modified_keys = ("keypoint",)

    def __init__(
        self, names: Sequence[str] | None = None, *, skeleton: str | Skeleton | None = None, absent: str = "raise"
    ) -> None:
        if (names is None) == (skeleton is None) or absent not in ("raise", "missing"):
            raise ConfigError(
                f"SelectKeypoints: names={names!r}, skeleton={skeleton!r}, absent={absent!r}; "
                "give either names or skeleton, and absent='raise' or 'missing'"
            )
        if names is not None and (isinstance(names, str) or not len(names) or not all(isinstance(n, str) for n in names)):
            raise ConfigError(f"SelectKeypoints: names={names!r}; expected a list of keypoints or groups, e.g. ['rh']")
        self.names = None if names is None else tuple(names)
        self.skeleton, self.absent = skeleton, absent
        self._target = None if skeleton is None else get_skeleton(skeleton)

    def apply(self, results: dict, params: Params) -> dict:
        target, mapping = self._mapping(results["skeleton"])
        lacking = mapping < 0
        keypoint = np.take(results["keypoint"], mapping, axis=1)
        score = np.take(results["keypoint_score"], mapping, axis=1)
        keypoint[:, lacking], score[:, lacking] = np.nan, 0
        return {"keypoint": keypoint, "keypoint_score": score, "skeleton": target}

    def defer(self, clips: PendingClips, params: Params) -> None:
        clips.select(*self._mapping(clips.skeleton))

    def output_skeleton(self, skeleton: Skeleton) -> Skeleton:
        return self._mapping(skeleton)[0]

    def _mapping(self, source: Skeleton) -> tuple[Skeleton, np.ndarray]:
        """The skeleton to go to, and where each of its points lies in `source`."""
        target = self._target or _selected(source, self.names or ())
        mapping = target.mapping_from(source)
        if (mapping < 0).any() and self.absent == "raise":
            first = target.names[int(np.argmax(mapping < 0))]
            raise SkeletonError(
                f"SelectKeypoints: {source.name!r} lacks {int((mapping < 0).sum())} keypoints of {target.name!r}, first "
                f"{first!r}; absent='missing' gives them as missing"
            )
        return target, mapping
