"""Mixup of clips: convex combinations of pairs of a batch."""

from __future__ import annotations

import torch
from torch import Tensor


def mix_clips(inputs: Tensor, keypoint_mask: Tensor, partner: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Mix each clip with another one of its batch.

    A keypoint that only one of the two clips has is taken from it, so that no keypoint moves toward a missing one.

    Args:
        inputs: float (N, T, V, C).
        keypoint_mask: Bool (N, T, V), True for present keypoints.
        partner: int64 (N,), index of the other clip.
        share: Weight of the clip itself, in [0, 1]; that of its partner is `1 - share`.

    Returns:
        Mixed inputs and mask, of the same shapes. The mask is True where either clip has the keypoint.

    Example:
        >>> mask = torch.tensor([[[True, True]], [[True, False]]])
        >>> inputs = torch.tensor([[[[4.0], [4.0]]], [[[0.0], [9.0]]]])
        >>> mix_clips(inputs, mask, torch.tensor([1, 0]), 0.75)[0].tolist()
        [[[[3.0], [4.0]]], [[[1.0], [4.0]]]]

    Source: Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization, https://arxiv.org/abs/1710.09412
    """
    other, other_mask = inputs[partner], keypoint_mask[partner]
    own_present, other_present = keypoint_mask[..., None], other_mask[..., None]
    single = torch.where(own_present, inputs, other)
    mixed = torch.where(own_present & other_present, share * inputs + (1 - share) * other, single)
    return mixed, keypoint_mask | other_mask


def draw_share(alpha: float) -> float:
    """Draw a share from Beta(alpha, alpha) with torch's generator of the CPU."""
    return float(torch.distributions.Beta(alpha, alpha).sample())
