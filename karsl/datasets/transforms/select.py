"""Selection of keypoints, or conversion to another skeleton by keypoint names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from karsl.datasets.transforms.base import DeferredOps, KeypointTransform, Params
from karsl.errors import ConfigError, SkeletonError
from karsl.registry import TRANSFORMS
from karsl.skeletons import Skeleton, get_skeleton


@lru_cache(maxsize=64)
def _selected(source: Skeleton, names: tuple[str, ...]) -> Skeleton:
    """Cache one object for all clips, so that its mirror and groups are computed once."""
    return source.select(names)


@TRANSFORMS.register_module()
class SelectKeypoints(KeypointTransform):
    """Select keypoints by name; the skeleton of the results changes accordingly.

    Required Keys:
        keypoint, keypoint_score, skeleton
    Modified Keys:
        keypoint: float32 (T, V', C).
        keypoint_score: float32 (T, V').
        skeleton: Skeleton of the V' keypoints.

    Args:
        names: Keypoints or groups to select, in array order.
        skeleton: Target skeleton, instead of `names`; keypoints are matched by name.
        allow_missing: Return keypoints of `skeleton` that the source lacks as missing instead of raising an error.

    Raises:
        ConfigError: If both or neither of `names` and `skeleton` are given.
        SkeletonError: If the source lacks a keypoint, and `allow_missing` is False.

    Example:
        >>> hands = SelectKeypoints(["rh", "lh"])
        >>> clip = dict(keypoint=np.zeros((2, 184, 3)), keypoint_score=np.ones((2, 184)),
        ...             skeleton=get_skeleton("karsl_184"))
        >>> hands(clip)["keypoint"].shape
        (2, 42, 3)
    """

    modified_keys = ("keypoint", "keypoint_score", "skeleton")

    def __init__(
        self,
        names: Sequence[str] | None = None,
        *,
        skeleton: str | Skeleton | None = None,
        allow_missing: bool = False,
    ) -> None:
        if (names is None) == (skeleton is None):
            raise ConfigError(f"SelectKeypoints: names={names!r}, skeleton={skeleton!r}; give either names or skeleton")
        if not isinstance(allow_missing, bool):
            raise ConfigError(f"SelectKeypoints: names={names!r}, allow_missing={allow_missing!r}; expected True or False")
        if names is not None and (isinstance(names, str) or not len(names) or not all(isinstance(n, str) for n in names)):
            raise ConfigError(f"SelectKeypoints: names={names!r}; expected a list of keypoints or groups, e.g. ['rh']")
        self.names = None if names is None else tuple(names)
        self.skeleton, self.allow_missing = skeleton, allow_missing
        self._target = None if skeleton is None else get_skeleton(skeleton)

    def apply(self, results: dict, params: Params) -> dict:
        target, mapping = self._mapping(results["skeleton"])
        absent = mapping < 0
        keypoint = np.take(results["keypoint"], mapping, axis=1)
        score = np.take(results["keypoint_score"], mapping, axis=1)
        keypoint[:, absent], score[:, absent] = np.nan, 0
        return {"keypoint": keypoint, "keypoint_score": score, "skeleton": target}

    def defer(self, batch: DeferredOps, params: Params) -> None:
        batch.select(*self._mapping(batch.skeleton))

    def output_skeleton(self, skeleton: Skeleton) -> Skeleton:
        return self._mapping(skeleton)[0]

    def _mapping(self, source: Skeleton) -> tuple[Skeleton, np.ndarray]:
        """Return the target skeleton and the index in `source` of each of its points, -1 for none."""
        target = self._target or _selected(source, self.names or ())
        mapping = target.mapping_from(source)
        if (mapping < 0).any() and not self.allow_missing:
            first = target.names[int(np.argmax(mapping < 0))]
            raise SkeletonError(
                f"SelectKeypoints: {source.name!r} lacks {int((mapping < 0).sum())} keypoints of {target.name!r}, first "
                f"{first!r}; allow_missing=True returns them as missing"
            )
        return target, mapping
