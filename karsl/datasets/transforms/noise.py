"""Gaussian noise, drawn so fast that a batch does not wait for it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from karsl.checks import check_number
from karsl.datasets.rng import CounterRNG
from karsl.datasets.transforms.base import ClipMeta, DeferredOps, KeypointTransform, Params
from karsl.registry import TRANSFORMS

BLOCK, OFFSETS = 256, 1 << 14
"""Points per block of noise, and offsets in the table at which a block may start."""

_XYZ = 3


@lru_cache(maxsize=4)
def noise_table(width: int = _XYZ) -> np.ndarray:
    """Return float32 (OFFSETS + BLOCK, width), normal numbers of variance 1/2 in random order, and 0 after the third.

    The sum of two windows is the noise of a block of points: a normal generator takes 80 microseconds per clip, this 6.

    Source: quantiles of the normal distribution. A shared table of noise is used by Salimans et al. 2017, Evolution
        Strategies as a Scalable Alternative to Reinforcement Learning, https://arxiv.org/abs/1703.03864
    """
    count = (OFFSETS + BLOCK) * _XYZ
    quantiles = torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count).numpy() * np.sqrt(0.5)
    order = np.argsort(CounterRNG(np.uint64(0), transform_id=0).bits("noise table", count)[0])
    table = np.zeros((OFFSETS + BLOCK, width), np.float32)
    table[:, :_XYZ] = quantiles[order].reshape(-1, _XYZ)
    table.flags.writeable = False
    return table


def draw_noise(key: np.ndarray | np.uint64, points: int) -> np.ndarray:
    """Return standard normal numbers float32 (points, 3), a function of the key."""
    bits = CounterRNG(key, transform_id=0).bits("block", -(-points // BLOCK))[0]
    starts = np.stack([bits % np.uint64(OFFSETS), (bits >> np.uint64(32)) % np.uint64(OFFSETS)]).astype(np.int64)
    first, second = noise_table()[starts[..., None] + np.arange(BLOCK)]
    return (first + second).reshape(-1, _XYZ)[:points]


@TRANSFORMS.register_module()
class RandomGaussianNoise(KeypointTransform):
    """Add independent Gaussian noise to every coordinate of every present keypoint.

    Each block of 256 keypoints gets the sum of two random windows of a table of 49,920 normal numbers, so a block has one of
    2^28 patterns. This is much faster than a generator, and serves as augmentation, not as a source of entropy.

    Required Keys:
        keypoint
    Modified Keys:
        keypoint: float32 (T, V, C).

    Args:
        sigma: Standard deviation, in units of the coordinates.

    Raises:
        ConfigError: If `sigma` is not a finite number of 0 or more.
    """

    rng_name = "GaussianJitter"  # an earlier name of the class, from which its random keys follow
    modified_keys = ("keypoint",)

    def __init__(self, sigma: float = 0.005) -> None:
        self.sigma = check_number(self, "sigma", sigma, low=0)

    def get_params(self, meta: ClipMeta, rng: CounterRNG) -> Params:
        return {"noise_key": rng.bits("noise")}

    def apply(self, results: dict, params: Params) -> dict:
        keypoint = results["keypoint"]
        frames, points, channels = keypoint.shape
        parts = -(-channels // _XYZ)
        noise = draw_noise(params["noise_key"], frames * points * parts)
        noise = noise.reshape(frames, points, parts * _XYZ)[..., :channels]
        return {"keypoint": keypoint + np.float32(self.sigma) * noise}

    def defer(self, batch: DeferredOps, params: Params) -> None:
        batch.add_noise(params["noise_key"], self.sigma)
