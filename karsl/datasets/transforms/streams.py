"""Joint, bone and motion streams of keypoints."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from karsl.datasets.transforms.base import DeferredOps, KeypointTransform, Params
from karsl.errors import ConfigError
from karsl.registry import TRANSFORMS
from karsl.skeletons import Skeleton, get_skeleton

FEATS = ("joint", "bone", "joint_motion", "bone_motion")
OUTPUTS = ("features", "keypoint")


@TRANSFORMS.register_module()
class SkeletonFeatures(KeypointTransform):
    """Compute joint, bone and motion streams, like GenSkeFeat of mmaction2.

    They are added as one feature tensor, or replace the keypoints, as input of any model. After PackKeypointInputs it uses
    `inputs` and `keypoint_mask` instead of `keypoint`.

    Required Keys:
        keypoint, keypoint_score, skeleton
    Modified Keys:
        keypoint: With `output='keypoint'`, float32 (T, V, S * C), NaN where a keypoint of a stream is missing.
        keypoint_score: With `output='keypoint'`, 0 where `keypoint` is NaN.
    Added Keys:
        features: float32 tensor (T, S * V * C), or (T, V, S * C) with `flatten=False`; S streams in the order of `feats`.

    Args:
        feats: Streams to compute: `'joint'`, `'bone'`, `'joint_motion'` (or `'motion'`), `'bone_motion'`.
        output: `'features'` adds the tensor; `'keypoint'` replaces the keypoints, before PackKeypointInputs.
        flatten: Flatten all values of a frame into one axis.
        fill: Value for missing keypoints.
        skeleton: Skeleton of the keypoints; None uses that of the results or of the dataset below a MapDataset.

    Raises:
        ConfigError: If the name of a stream is unknown.
    """

    modified_keys = ("features", "keypoint", "keypoint_score")

    def __init__(
        self,
        feats: str | Sequence[str] = ("joint",),
        *,
        output: str = "features",
        flatten: bool = True,
        fill: float = 0.0,
        skeleton: str | Mapping[str, Any] | Skeleton | None = None,
    ) -> None:
        names = [feats] if isinstance(feats, str) else list(feats)
        if not names or not set(names) <= {*FEATS, "motion"}:
            raise ConfigError(f"SkeletonFeatures: feats={feats!r}; expected names of {', '.join(FEATS)}")
        if output not in OUTPUTS:
            raise ConfigError(f"SkeletonFeatures: output={output!r}; expected {' or '.join(map(repr, OUTPUTS))}")
        self.feats, self.output, self.flatten, self.fill = tuple(names), output, flatten, float(fill)
        self.skeleton = None if skeleton is None else get_skeleton(skeleton)

    def bind(self, metainfo: Mapping[str, Any], skeleton: Skeleton | None) -> SkeletonFeatures:
        """Return a copy for the skeleton of a dataset, unless one was given; MapDataset calls it."""
        bound = copy.copy(self)
        bound.skeleton = self.skeleton or skeleton
        return bound

    def output_channels(self, channels: int) -> int:
        return channels * len(self.feats) if self.output == "keypoint" else channels

    def apply(self, results: dict, params: Params) -> dict:
        if self.output == "keypoint" and "keypoint" not in results:
            raise ConfigError("SkeletonFeatures: output='keypoint' replaces 'keypoint'; put it before PackKeypointInputs")
        keypoint = _keypoint(results)
        skeleton = self._skeleton_of(results.get("skeleton"), keypoint.shape[1])
        streams = [_stream(name, keypoint, skeleton) for name in self.feats]
        if self.output == "keypoint":
            replaced = np.concatenate(streams, axis=2)
            missing = np.isnan(replaced).any(axis=2) | (results["keypoint_score"] == 0)  # motion is 0 in the first frame
            replaced[missing] = np.nan
            return {"keypoint": replaced, "keypoint_score": np.where(missing, np.float32(0), results["keypoint_score"])}
        if self.flatten:
            features = np.concatenate([stream.reshape(len(stream), -1) for stream in streams], axis=1)
        else:
            features = np.concatenate(streams, axis=2)
        features = np.where(np.isnan(features), np.float32(self.fill), features)
        return {"features": torch.from_numpy(features.astype(np.float32))}

    def supports_batching(self) -> bool:
        return self.output == "keypoint" and super().supports_batching()

    def defer(self, batch: DeferredOps, params: Params) -> None:
        skeleton = self._skeleton_of(batch.skeleton, batch.skeleton.num_keypoints)
        batch.streams(self.feats, bone_parents(skeleton))

    def _skeleton_of(self, current: Skeleton | None, num_keypoints: int) -> Skeleton:
        """Return the skeleton that was given, or that of the results."""
        skeleton = self.skeleton or current
        if skeleton is None or skeleton.num_keypoints != num_keypoints:
            found = "no skeleton" if skeleton is None else f"skeleton {skeleton.name!r} of {skeleton.num_keypoints}"
            raise ConfigError(f"SkeletonFeatures: {found} for clips of {num_keypoints} keypoints; give skeleton=...")
        return skeleton


def _keypoint(results: dict) -> np.ndarray:
    """Return float32 (T, V, C), NaN where missing."""
    if "keypoint" in results:
        return np.asarray(results["keypoint"], np.float32)
    if "inputs" not in results or "keypoint_mask" not in results:
        raise ConfigError(
            f"SkeletonFeatures: expected keypoint, or inputs and keypoint_mask; the keys are {sorted(results)}"
        )
    inputs, mask = np.asarray(results["inputs"]), np.asarray(results["keypoint_mask"])
    return np.where(mask[..., None], inputs, np.float32(np.nan))


def _stream(name: str, keypoint: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    if name.startswith("bone"):
        keypoint = bone(keypoint, skeleton)
    return motion(keypoint) if name.endswith("motion") else keypoint


def bone(keypoint: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Return the difference of each keypoint and its parent, (T, V, C); NaN where one of them is missing.

    Source: Shi et al. 2019, Two-Stream Adaptive Graph Convolutional Networks, https://arxiv.org/abs/1805.07694
    """
    return keypoint - keypoint[:, bone_parents(skeleton)]


def motion(keypoint: np.ndarray) -> np.ndarray:
    """Return the difference of each frame and the one before, (T, V, C); 0 in the first frame, NaN where one is missing."""
    out = np.zeros_like(keypoint)
    np.subtract(keypoint[1:], keypoint[:-1], out=out[1:])
    return out


@lru_cache(maxsize=64)
def bone_parents(skeleton: Skeleton) -> np.ndarray:
    """Return the parent of each keypoint, int64 (V,); a keypoint without one is its own parent.

    The root of each connected part of the skeleton is its first keypoint; in a cycle of bones the shortest path counts.

    Example:
        >>> bone_parents(Skeleton("arm", (("a", ("wrist", "elbow", "shoulder", "nose")),),
        ...                       (("shoulder", "elbow"), ("elbow", "wrist"))))
        array([0, 0, 1, 3])
    """
    neighbors: dict[int, list[int]] = {}
    for a, b in skeleton.edges.tolist():
        neighbors.setdefault(a, []).append(b)
        neighbors.setdefault(b, []).append(a)
    parents = np.arange(skeleton.num_keypoints)
    visited: set[int] = set()
    for root in range(skeleton.num_keypoints):
        queue = deque([] if root in visited else [root])
        visited.add(root)
        while queue:
            keypoint = queue.popleft()
            for neighbor in neighbors.get(keypoint, ()):
                if neighbor not in visited:
                    visited.add(neighbor)
                    parents[neighbor] = keypoint
                    queue.append(neighbor)
    parents.flags.writeable = False
    return parents
