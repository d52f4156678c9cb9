"""Transformer backbone with one token per keypoint group and frame, and its attention blocks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from karsl.errors import ConfigError
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
            ValueError: If T exceeds `max_frames`, or the mask has another shape.
        """
        self._check(inputs, keypoint_mask)
        frame_mask = keypoint_mask.any(dim=-1)
        frame_mask = frame_mask | ~frame_mask.any(dim=1, keepdim=True)
        x = self._tokens(inputs, keypoint_mask)
        for block in self.blocks:
            x = block(x, frame_mask)
        weight = frame_mask[:, :, None].to(x.dtype)
        return (self.norm(x).mean(dim=2) * weight).sum(dim=1) / weight.sum(dim=1)

    def _tokens(self, inputs: Tensor, keypoint_mask: Tensor) -> Tensor:
        mask = keypoint_mask.unsqueeze(-1)
        points = torch.cat([inputs.masked_fill(~mask, 0.0), mask.to(inputs.dtype)], dim=-1)
        groups = [layer(points[:, :, group].flatten(2)) for layer, group in zip(self.embed, self.groups, strict=True)]
        tokens = torch.stack(groups, dim=2)
        return tokens + self.group_embed + self.time_embed[: inputs.shape[1], None]

    def _check(self, inputs: Tensor, keypoint_mask: Tensor) -> None:
        expected = (self.skeleton.num_keypoints, self.in_channels)
        if inputs.ndim != 4 or tuple(inputs.shape[2:]) != expected:
            raise ConfigError(
                f"STTransformer for skeleton '{self.skeleton.name}' takes (N, T, {expected[0]}, {expected[1]}) but got "
                f"{tuple(inputs.shape)}; skeleton='auto' and in_channels='auto' follow the pipeline, "
                "and dict(name='karsl_184', select=['rh', 'lh']) is a selection"
            )
        if keypoint_mask.shape != inputs.shape[:3]:
            raise ValueError(f"keypoint_mask {tuple(keypoint_mask.shape)} does not fit inputs {tuple(inputs.shape)}")
        if not 1 <= inputs.shape[1] <= self.max_frames:
            raise ValueError(
                f"STTransformer takes 1 to {self.max_frames} frames but got T={inputs.shape[1]}; "
                "raise max_frames or lower clip_len"
            )


class Attention(nn.Module):
    """Multi-head self-attention over the second axis of (B, S, D).

    `nn.MultiheadAttention` is not used: it leaves the fused CPU kernel when a mask is given.

    Args:
        embed_dims: D, a multiple of `num_heads`.
        num_heads: Number of heads.
        dropout_ratio: Dropout probability of attention weights.
    """

    def __init__(self, embed_dims: int, num_heads: int, dropout_ratio: float = 0.0) -> None:
        super().__init__()
        self.num_heads, self.dropout_ratio = num_heads, dropout_ratio
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims)
        self.proj = nn.Linear(embed_dims, embed_dims)

    def forward(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """Compute attention.

        Args:
            x: (B, S, D).
            key_mask: Bool (B, S), True for positions that may be attended to; every row needs one.

        Returns:
            (B, S, D).
        """
        batch, length, dims = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.num_heads, dims // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mask = None if key_mask is None else key_mask[:, None, None, :]
        dropout = self.dropout_ratio if self.training else 0.0
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        return self.proj(out.transpose(1, 2).reshape(batch, length, dims))


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
