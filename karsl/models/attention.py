"""Attention among groups of one frame, then along time for each group."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head self-attention over the second axis of (B, S, D).

    `nn.MultiheadAttention` is not used: it leaves the fused CPU kernel when a mask is given.

    Args:
        embed_dims: D, a multiple of `num_heads`.
        num_heads: Heads.
        dropout_ratio: Dropped attention weights in training.
    """

    def __init__(self, embed_dims: int, num_heads: int, dropout_ratio: float = 0.0) -> None:
        super().__init__()
        self.num_heads, self.dropout_ratio = num_heads, dropout_ratio
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims)
        self.proj = nn.Linear(embed_dims, embed_dims)

    def forward(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            x: (B, S, D).
            key_mask: Bool (B, S), True = may be attended to; every row needs one True.

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


class SpaceTimeBlock(nn.Module):
    """Pre-norm block: groups attend within a frame, frames attend within a group, then a two-layer perceptron.

    Factorised, so the cost is T*G^2 + G*T^2 and not (T*G)^2.

    Args:
        embed_dims: D.
        num_heads: Heads of both attentions.
        mlp_ratio: Hidden size of the perceptron over D.
        dropout_ratio: Dropped values after each of the three parts, and dropped attention weights.

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
        """Mix tokens.

        Args:
            x: (N, T, G, D).
            frame_mask: Bool (N, T), True = the frame may be attended to; every row needs one True.

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
