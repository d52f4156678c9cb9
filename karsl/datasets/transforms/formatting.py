"""Packing of results into the input tensors of a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from karsl.checks import check_number
from karsl.datasets.transforms.base import KeypointTransform, Params
from karsl.errors import ConfigError
from karsl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackKeypointInputs(KeypointTransform):
    """Pack the inputs of a model. Missing keypoints become `fill` in `inputs` and False in the mask.

    Required Keys:
        keypoint, keypoint_score
    Added Keys:
        inputs: float32 tensor (T, V, C), `fill` where missing.
        keypoint_mask: bool tensor (T, V), True where a keypoint is present.
        label: int, if the record has one.
        sample_idx: int, if the record has one.

    Args:
        fill: Coordinate of missing keypoints.
        with_score: Append the score as last channel.
        meta_keys: Additional keys to return, e.g. `('clip_id',)`.

    Raises:
        ConfigError: If `fill` is not a finite number, or a key of `meta_keys` is not in the results.
    """

    modified_keys = ("inputs", "keypoint_mask")

    def __init__(self, *, fill: float = 0.0, with_score: bool = False, meta_keys: Sequence[str] = ()) -> None:
        self.fill = check_number(self, "fill", fill)
        self.with_score, self.meta_keys = with_score, tuple(meta_keys)

    def __call__(self, results: dict) -> dict:
        """Return the packed keys only."""
        return self.apply(results, {})

    def output_channels(self, channels: int) -> int:
        return channels + self.with_score

    def apply(self, results: dict, params: Params) -> dict:
        keypoint, score = results["keypoint"], results["keypoint_score"]
        inputs = np.where(np.isnan(keypoint), np.float32(self.fill), keypoint)
        if self.with_score:
            inputs = np.concatenate([inputs, score[..., None]], axis=-1)
        inputs = np.ascontiguousarray(inputs, dtype=np.float32)
        packed: dict[str, object] = {"inputs": torch.from_numpy(inputs), "keypoint_mask": torch.from_numpy(score > 0)}
        packed |= {k: int(results[k]) for k in ("label", "sample_idx") if k in results}
        absent = [k for k in self.meta_keys if k not in results]
        if absent:
            raise ConfigError(f"PackKeypointInputs: meta_keys {absent} are not in the results: {sorted(results)}")
        return packed | {k: results[k] for k in self.meta_keys}
