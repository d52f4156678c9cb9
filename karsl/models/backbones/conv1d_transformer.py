"""Backbone of depthwise convolutions over time and transformer blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from karsl.errors import ConfigError
from karsl.models.backbones.attention import Attention
from karsl.models.backbones.frame_embedding import FrameEmbedding
from karsl.models.backbones.inputs import check_inputs, mean_over_frames, present_frames
from karsl.registry import MODELS
from karsl.skeletons import Skeleton, get_skeleton


@MODELS.register_module()
class Conv1DTransformer(BaseModule):
    """Stages of depthwise convolutions over time, each followed by a transformer block; one token per frame.

    The design of the first place in Google's isolated sign challenge of 2023. It normalizes by layer instead of by batch,
    and convolutions see both directions, so that the output does not depend on padding or on other clips. Missing keypoints
    are 0 with presence 0, so their values do not affect the output. Frames without any keypoint are zero, neither attended
    to nor pooled, except in clips without any keypoint. There is no position table, so T is not limited.

    The defaults have 1.7 M parameters for `karsl_184`.

    Args:
        skeleton: A name, a dict such as `dict(name='karsl_184', select=['rh', 'lh'])`, or a `Skeleton`.
            `'auto'` in a config is the output of the pipeline.
        in_channels: Coordinates per keypoint, C; `'auto'` in a config likewise.
        embed_dims: Token size, D.
        stages: Number of stages.
        convs: Number of convolution blocks per stage.
        kernel_size: Width of the convolutions in frames, odd.
        num_heads: Number of attention heads, a divisor of D.
        expand_ratio: Hidden size of every block, as a multiple of D.
        dropout_ratio: Dropout probability.
        shape_groups: Groups whose pairwise distances and bone directions are added to each frame, e.g. `("rh", "lh")`;
            see `FrameEmbedding`.
        init_cfg: Initialization config of MMEngine.

    Raises:
        ConfigError: If `num_heads` does not divide `embed_dims`, or `kernel_size` is even.

    Example:
        >>> import torch
        >>> model = Conv1DTransformer("karsl_184", embed_dims=16, stages=1, convs=1)
        >>> model(torch.zeros(2, 8, 184, 3), torch.ones(2, 8, 184, dtype=torch.bool)).shape
        torch.Size([2, 16])

    Source: H. Sohn 2023, https://www.kaggle.com/competitions/asl-signs/discussion/406684
    """

    def __init__(
        self,
        skeleton: str | Mapping | Skeleton = "karsl_184",
        in_channels: int = 3,
        embed_dims: int = 192,
        stages: int = 2,
        convs: int = 3,
        kernel_size: int = 17,
        num_heads: int = 4,
        expand_ratio: float = 2.0,
        dropout_ratio: float = 0.2,
        shape_groups: Sequence[str] = (),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if embed_dims % num_heads:
            raise ConfigError(f"Conv1DTransformer: num_heads={num_heads} does not divide embed_dims={embed_dims}")
        if kernel_size % 2 == 0:
            raise ConfigError(f"Conv1DTransformer: kernel_size={kernel_size} is even; expected an odd number of frames")
        self.skeleton, self.in_channels = get_skeleton(skeleton), in_channels
        self.embed = FrameEmbedding(self.skeleton, in_channels, embed_dims, shape_groups)
        hidden = int(embed_dims * expand_ratio)
        blocks: list[nn.Module] = []
        for _ in range(stages):
            blocks += [ConvBlock(embed_dims, hidden, kernel_size, dropout_ratio) for _ in range(convs)]
            blocks.append(FrameAttentionBlock(embed_dims, hidden, num_heads, dropout_ratio))
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(embed_dims)

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
        check_inputs("Conv1DTransformer", self.skeleton, self.in_channels, inputs, keypoint_mask)
        frame_mask = present_frames(keypoint_mask)
        x = self.embed(inputs, keypoint_mask)
        for block in self.blocks:
            x = block(x, frame_mask)
        return mean_over_frames(self.norm(x), frame_mask)


class ConvBlock(nn.Module):
    """Inverted bottleneck with a depthwise convolution over frames and channel attention, added to its input.

    Args:
        embed_dims: Token size, D.
        hidden_dims: Number of channels of the convolution.
        kernel_size: Width in frames, odd.
        dropout_ratio: Dropout probability of the result.

    Source: Wang et al. 2020, ECA-Net: Efficient Channel Attention, https://arxiv.org/abs/1910.03151
    """

    def __init__(self, embed_dims: int, hidden_dims: int, kernel_size: int, dropout_ratio: float) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Linear(embed_dims, hidden_dims), nn.SiLU())
        self.conv = nn.Conv1d(hidden_dims, hidden_dims, kernel_size, padding=kernel_size // 2, groups=hidden_dims)
        self.norm = nn.LayerNorm(hidden_dims)
        self.attention = nn.Conv1d(1, 1, 5, padding=2, bias=False)  # 5 neighboring channels, as in the source
        self.project = nn.Linear(hidden_dims, embed_dims)
        self.dropout = nn.Dropout(dropout_ratio)

    def forward(self, x: Tensor, frame_mask: Tensor) -> Tensor:
        """Update the tokens (N, T, D); frames outside bool (N, T) `frame_mask` count as zeros of the convolution."""
        hidden = self.expand(x) * frame_mask[:, :, None].to(x.dtype)
        hidden = self.norm(self.conv(hidden.transpose(1, 2)).transpose(1, 2))
        weight = self.attention(mean_over_frames(hidden, frame_mask)[:, None]).sigmoid()
        return x + self.dropout(self.project(hidden * weight))


class FrameAttentionBlock(nn.Module):
    """Pre-norm transformer block over frames.

    Args:
        embed_dims: Token size, D.
        hidden_dims: Hidden size of the MLP.
        num_heads: Number of heads.
        dropout_ratio: Dropout probability after both parts, and of attention weights.
    """

    def __init__(self, embed_dims: int, hidden_dims: int, num_heads: int, dropout_ratio: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dims) for _ in range(2))
        self.attention = Attention(embed_dims, num_heads, dropout_ratio)
        self.mlp = nn.Sequential(nn.Linear(embed_dims, hidden_dims), nn.SiLU(), nn.Linear(hidden_dims, embed_dims))
        self.dropout = nn.Dropout(dropout_ratio)

    def forward(self, x: Tensor, frame_mask: Tensor) -> Tensor:
        """Update the tokens (N, T, D), attending to the frames of bool (N, T) `frame_mask`."""
        x = x + self.dropout(self.attention(self.norms[0](x), frame_mask))
        return x + self.dropout(self.mlp(self.norms[1](x)))
