"""Keypoints as features: streams side by side, flat or by point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from karsl.datasets.encoders.base import Encoder
from karsl.datasets.encoders.streams import STREAMS, stream_of
from karsl.errors import ConfigError
from karsl.registry import ENCODERS
from karsl.skeletons import Skeleton, get_skeleton


@ENCODERS.register_module()
class FeatureEncoder(Encoder):
    """Gives `features`, for models that take a vector a frame, or streams as channels.

    Required Keys:
        keypoint (T, V, C); or inputs (T, V, C) and keypoint_mask (T, V), as PackKeypointInputs gives them.
    Added Keys:
        features: float32 tensor (T, S * V * C), or (T, V, S * C) without `flatten`; S streams, in the order asked.

    Args:
        streams: Of `'joint'`, `'bone'`, `'motion'`, `'bone_motion'`.
        flatten: All numbers of a frame in a row.
        fill: Instead of a missing number.
        skeleton: Of the keypoints; None takes the dataset's.

    Raises:
        ConfigError: A stream of another name, or no skeleton for bones.
    """

    def __init__(
        self,
        streams: Sequence[str] = ("joint",),
        *,
        flatten: bool = True,
        fill: float = 0.0,
        skeleton: str | Mapping[str, Any] | Skeleton | None = None,
    ) -> None:
        names = [streams] if isinstance(streams, str) else list(streams)
        unknown = [name for name in names if name not in STREAMS]
        if unknown or not names:
            raise ConfigError(f"FeatureEncoder: streams={streams!r}; expected some of {', '.join(STREAMS)}")
        self.streams, self.flatten, self.fill = tuple(names), flatten, float(fill)
        self._skeleton = None if skeleton is None else get_skeleton(skeleton)

    def bind(self, metainfo: Mapping[str, Any], skeleton: Skeleton | None) -> None:
        self._skeleton = self._skeleton or skeleton

    def encode(self, item: dict) -> dict:
        keypoint = _points(item)
        skeleton = self._skeleton or item.get("skeleton")
        if skeleton is None or skeleton.num_keypoints != keypoint.shape[1]:
            have = "no skeleton" if skeleton is None else f"skeleton {skeleton.name!r} of {skeleton.num_keypoints}"
            raise ConfigError(f"FeatureEncoder: {have} for clips of {keypoint.shape[1]} keypoints; give skeleton=...")
        parts = [stream_of(name, keypoint, skeleton) for name in self.streams]
        out = np.concatenate([p.reshape(len(p), -1) for p in parts], 1) if self.flatten else np.concatenate(parts, 2)
        return {"features": torch.from_numpy(np.where(np.isnan(out), np.float32(self.fill), out).astype(np.float32))}


def _points(item: dict) -> np.ndarray:
    """float32 (T, V, C), NaN where missing."""
    if "keypoint" in item:
        return np.asarray(item["keypoint"], np.float32)
    if "inputs" not in item or "keypoint_mask" not in item:
        raise ConfigError(f"FeatureEncoder: the item has neither keypoint nor inputs and keypoint_mask, only {sorted(item)}")
    inputs, mask = np.asarray(item["inputs"]), np.asarray(item["keypoint_mask"])
    return np.where(mask[..., None], inputs, np.float32(np.nan))
