"""Input of the backbones: shape check, presence bits, present frames and their mean."""

from __future__ import annotations

import torch
from torch import Tensor

from karsl.errors import ConfigError
from karsl.skeletons import Skeleton


def check_inputs(name: str, skeleton: Skeleton, in_channels: int, inputs: Tensor, keypoint_mask: Tensor) -> None:
    """Check the shapes of a batch.

    Args:
        name: Class of the backbone, for the message.
        skeleton: Skeleton of V keypoints.
        in_channels: C.
        inputs: Expected as (N, T, V, C) with T of at least 1.
        keypoint_mask: Expected as (N, T, V).

    Raises:
        ConfigError: If V or C does not match.
        ValueError: If there is no frame, or the mask has another shape.
    """
    expected = (skeleton.num_keypoints, in_channels)
    if inputs.ndim != 4 or tuple(inputs.shape[2:]) != expected:
        raise ConfigError(
            f"{name} for skeleton '{skeleton.name}' takes (N, T, {expected[0]}, {expected[1]}) but got "
            f"{tuple(inputs.shape)}; skeleton='auto' and in_channels='auto' follow the pipeline, "
            "and dict(name='karsl_184', select=['rh', 'lh']) is a selection"
        )
    if keypoint_mask.shape != inputs.shape[:3]:
        raise ValueError(f"keypoint_mask {tuple(keypoint_mask.shape)} does not fit inputs {tuple(inputs.shape)}")
    if not inputs.shape[1]:
        raise ValueError(f"{name} takes at least 1 frame but got T=0; sample frames with TSNSampleFrames, for example")


def add_presence(inputs: Tensor, keypoint_mask: Tensor) -> Tensor:
    """Replace masked values by 0 and append presence bits: (N, T, V, C) to (N, T, V, C + 1)."""
    mask = keypoint_mask.unsqueeze(-1)
    return torch.cat([inputs.masked_fill(~mask, 0.0), mask.to(inputs.dtype)], dim=-1)


def present_frames(keypoint_mask: Tensor) -> Tensor:
    """Return bool (N, T), the frames with a keypoint; all frames of a clip without any keypoint.

    Example:
        >>> present_frames(torch.tensor([[[True, False], [False, False]], [[False, False], [False, False]]]))
        tensor([[ True, False],
                [ True,  True]])
    """
    frame_mask = keypoint_mask.any(dim=-1)
    return frame_mask | ~frame_mask.any(dim=1, keepdim=True)


def mean_over_frames(x: Tensor, frame_mask: Tensor) -> Tensor:
    """Return the mean of (N, T, D) over the frames of a bool (N, T) mask, (N, D); every row of the mask has one."""
    weight = frame_mask[:, :, None].to(x.dtype)
    return (x * weight).sum(dim=1) / weight.sum(dim=1)
