"""Self-attention with a mask."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


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
