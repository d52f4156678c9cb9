"""Transformer backbone with one token per keypoint group and frame."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from karsl.errors import ConfigError
from karsl.models.backbones.attention import Attention
from karsl.models.backbones.inputs import add_presence, check_inputs, mean_over_frames, present_frames
from karsl.registry import MODELS
from karsl.skeletons import Skeleton, get_skeleton


@MODELS.register_module()
class STTransformer(BaseModule):
    """Spatio-temporal transformer over the groups of a skeleton.

    Each group of a frame (pose, face, right hand, left hand) becomes one token: a linear map of its coordinates and
    presence bits. Missing keypoints are 0 with presence 0, so their values do not affect the output. Frames without any
    keypoint are neither attended to nor pooled, except in clips without any keypoint, where all frames are.

    The defaults give the small size, 1.2 M parameters for `karsl_184`.

    Args:
        skeleton: A name, a dict such as `dict(name='karsl_184', select=['rh', 'lh'])`, or a `Skeleton`.
            `'auto'` in a config is the output of the pipeline.
        in_channels: Coordinates per keypoint, C; `'auto'` in a config likewise.
        embed_dims: Token size, D.
        depth: Number of blocks.
        num_heads: Number of attention heads, a divisor of D.
        mlp_ratio: Hidden size of the MLP, as a multiple of D.
        dropout_ratio: Dropout probability.
        max_frames: Maximum number of frames, T.
        init_cfg: Initialization config of MMEngine.

    Raises:
        ConfigError: If `num_heads` does not divide `embed_dims`.

    Example:
        >>> model = STTransformer("karsl_184", embed_dims=16, depth=1)
        >>> model(torch.zeros(2, 8, 184, 3), torch.ones(2, 8, 184, dtype=torch.bool)).shape
        torch.Size([2, 16])
    """

    def __init__(
        self,
        skeleton: str | Mapping | Skeleton = "karsl_184",
        in_channels: int = 3,
        embed_dims: int = 128,
        depth: int = 4,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        dropout_ratio: float = 0.1,
        max_frames: int = 128,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if embed_dims % num_heads:
            raise ConfigError(f"STTransformer: num_heads={num_heads} does not divide embed_dims={embed_dims}")
        self.skeleton = get_skeleton(skeleton)
        self.in_channels, self.max_frames = in_channels, max_frames
        self.groups = tuple(self.skeleton.groups.values())
        widths = [(group.stop - group.start) * (in_channels + 1) for group in self.groups]
        self.embed = nn.ModuleList(nn.Linear(width, embed_dims) for width in widths)
        self.group_embed = nn.Parameter(torch.empty(len(self.groups), embed_dims))
        self.time_embed = nn.Parameter(torch.empty(max_frames, embed_dims))
        self.blocks = nn.ModuleList(
            SpatioTemporalBlock(embed_dims, num_heads, mlp_ratio, dropout_ratio) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(embed_dims)
        # 0.02 is the usual width for learned position tables (BERT, ViT).
        nn.init.trunc_normal_(self.group_embed, std=0.02)
        nn.init.trunc_normal_(self.time_embed, std=0.02)

    def forward(self, inputs: Tensor, keypoint_mask: Tensor) -> Tensor:
        """Encode clips.

        Args:
            inputs: float (N, T, V, C); masked values, NaN included, are ignored.
            keypoint_mask: Bool (N, T, V), True for present keypoints.

        Returns:
            (N, D), the mean over groups and present frames.

        Raises:
            ConfigError: If V or C does not match the skeleton.
            ValueError: If T is 0 or exceeds `max_frames`, or the mask has another shape.
        """
        check_inputs("STTransformer", self.skeleton, self.in_channels, inputs, keypoint_mask)
        if inputs.shape[1] > self.max_frames:
            raise ValueError(
                f"STTransformer takes at most max_frames={self.max_frames} but got T={inputs.shape[1]}; "
                "raise it or lower clip_len"
            )
        frame_mask = present_frames(keypoint_mask)
        x = self._tokens(inputs, keypoint_mask)
        for block in self.blocks:
            x = block(x, frame_mask)
        return mean_over_frames(self.norm(x).mean(dim=2), frame_mask)

    def _tokens(self, inputs: Tensor, keypoint_mask: Tensor) -> Tensor:
        points = add_presence(inputs, keypoint_mask)
        groups = [layer(points[:, :, group].flatten(2)) for layer, group in zip(self.embed, self.groups, strict=True)]
        tokens = torch.stack(groups, dim=2)
        return tokens + self.group_embed + self.time_embed[: inputs.shape[1], None]


class SpatioTemporalBlock(nn.Module):
    """Pre-norm block: attention over the groups of a frame, over the frames of a group, then an MLP.

    Factorized, so the cost is T*G^2 + G*T^2 instead of (T*G)^2.

    Args:
        embed_dims: Token size, D.
        num_heads: Number of heads of both attentions.
        mlp_ratio: Hidden size of the MLP, as a multiple of D.
        dropout_ratio: Dropout probability after each of the three parts, and of attention weights.

    Source: Bertasius et al. 2021, Is Space-Time Attention All You Need, https://arxiv.org/abs/2102.05095
    """

    def __init__(self, embed_dims: int, num_heads: int, mlp_ratio: float, dropout_ratio: float) -> None:
        super().__init__()
        hidden = int(embed_dims * mlp_ratio)
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dims) for _ in range(3))
        self.spatial = Attention(embed_dims, num_heads, dropout_ratio)
        self.temporal = Attention(embed_dims, num_heads, dropout_ratio)
        self.mlp = nn.Sequential(nn.Linear(embed_dims, hidden), nn.GELU(), nn.Linear(hidden, embed_dims))
        self.dropout = nn.Dropout(dropout_ratio)

    def forward(self, x: Tensor, frame_mask: Tensor) -> Tensor:
        """Update the tokens.

        Args:
            x: (N, T, G, D).
            frame_mask: Bool (N, T), True for frames that may be attended to; every row needs one.

        Returns:
            (N, T, G, D).
        """
        n, t, g, d = x.shape
        spatial = self.spatial(self.norms[0](x).view(n * t, g, d))
        x = x + self.dropout(spatial.view(n, t, g, d))
        tracks = self.norms[1](x).transpose(1, 2).reshape(n * g, t, d)
        temporal = self.temporal(tracks, torch.repeat_interleave(frame_mask, g, dim=0))
        x = x + self.dropout(temporal.view(n, g, t, d).transpose(1, 2))
        return x + self.dropout(self.mlp(self.norms[2](x)))
