"""Bidirectional LSTM backbone over the keypoints of a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from karsl.models.backbones.frame_embedding import FrameEmbedding
from karsl.models.backbones.inputs import check_inputs, mean_over_frames, present_frames
from karsl.registry import MODELS
from karsl.skeletons import Skeleton, get_skeleton


@MODELS.register_module()
class BiLSTM(BaseModule):
    """Bidirectional LSTM over frames; a frame is a linear map of its coordinates and presence bits.

    Missing keypoints are 0 with presence 0, so their values do not affect the output. Frames without any keypoint are
    removed: the remaining frames follow each other in both directions.

    The defaults have 1.6 M parameters for `karsl_184`.

    Args:
        skeleton: A name, a dict such as `dict(name='karsl_184', select=['rh', 'lh'])`, or a `Skeleton`.
            `'auto'` in a config is the output of the pipeline.
        in_channels: Coordinates per keypoint, C; `'auto'` in a config likewise.
        hidden_dims: Size of the frame embedding, and of the state of one direction; D is twice this size.
        depth: Number of layers.
        dropout_ratio: Dropout probability between layers.
        shape_groups: Groups whose pairwise distances and bone directions are added to each frame, e.g. `("rh", "lh")`;
            see `FrameEmbedding`.
        init_cfg: Initialization config of MMEngine.

    Example:
        >>> model = BiLSTM("karsl_184", hidden_dims=8, depth=1)
        >>> model(torch.zeros(2, 8, 184, 3), torch.ones(2, 8, 184, dtype=torch.bool)).shape
        torch.Size([2, 16])

    Source: Graves and Schmidhuber 2005, Framewise phoneme classification with bidirectional LSTM,
    https://doi.org/10.1016/j.neunet.2005.06.042
    """

    def __init__(
        self,
        skeleton: str | Mapping | Skeleton = "karsl_184",
        in_channels: int = 3,
        hidden_dims: int = 192,
        depth: int = 2,
        dropout_ratio: float = 0.2,
        shape_groups: Sequence[str] = (),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.skeleton, self.in_channels = get_skeleton(skeleton), in_channels
        self.embed = FrameEmbedding(self.skeleton, in_channels, hidden_dims, shape_groups)
        sizes = [hidden_dims] + [2 * hidden_dims] * (depth - 1)
        # Two one-way LSTMs per layer: `bidirectional=True` would start at the padding, or need lengths on the CPU.
        self.forwards = nn.ModuleList(nn.LSTM(size, hidden_dims, batch_first=True) for size in sizes)
        self.backwards = nn.ModuleList(nn.LSTM(size, hidden_dims, batch_first=True) for size in sizes)
        self.dropout = nn.Dropout(dropout_ratio)
        self.norm = nn.LayerNorm(2 * hidden_dims)

    def forward(self, inputs: Tensor, keypoint_mask: Tensor) -> Tensor:
        """Encode clips.

        Args:
            inputs: float (N, T, V, C); masked values, NaN included, are ignored.
            keypoint_mask: Bool (N, T, V), True for present keypoints.

        Returns:
            (N, D), the mean over present frames.

        Raises:
            ConfigError: If V or C does not match the skeleton.
            ValueError: If T is 0, or the mask has another shape.
        """
        check_inputs("BiLSTM", self.skeleton, self.in_channels, inputs, keypoint_mask)
        frame_mask = present_frames(keypoint_mask)
        x = self.embed(inputs, keypoint_mask).relu()
        x = torch.zeros_like(x).scatter(1, _ranks(frame_mask)[:, :, None].expand_as(x), x)
        frames, present = torch.arange(x.shape[1], device=x.device), frame_mask.sum(dim=1, keepdim=True)
        valid = frames < present
        reverse = torch.where(valid, present - 1 - frames, frames)[:, :, None]
        for layer, (ahead, back) in enumerate(zip(self.forwards, self.backwards, strict=True)):
            x = self.dropout(x) if layer else x
            states = back(x.gather(1, reverse.expand_as(x)))[0]
            x = torch.cat([ahead(x)[0], states.gather(1, reverse.expand_as(states))], dim=2)
        return mean_over_frames(self.norm(x), valid)


def _ranks(frame_mask: Tensor) -> Tensor:
    """Return the new place of each frame, int64 (N, T), when present frames move to the front in their order."""
    present = frame_mask.to(torch.int64)
    absent = 1 - present
    first = present.cumsum(dim=1) - 1
    return torch.where(frame_mask, first, present.sum(dim=1, keepdim=True) + absent.cumsum(dim=1) - 1)
