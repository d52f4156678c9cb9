"""Small backbones of every class, and clips for them."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule

from karsl.models import STGCN, BiLSTM, Conv1DTransformer, STTransformer
from karsl.skeletons import Skeleton

ARMS = Skeleton(
    "arms",
    (("pose", ("left_wrist", "right_wrist")), ("rh", ("thumb", "pinky", "palm"))),
    (("left_wrist", "right_wrist"), ("palm", "thumb"), ("palm", "pinky")),
)
SMALL = {
    STTransformer: dict(embed_dims=16, depth=2, num_heads=2),
    Conv1DTransformer: dict(embed_dims=16, stages=1, convs=2, kernel_size=5, num_heads=2),
    STGCN: dict(channels=(8, 12, 16), strides=(1,)),
    BiLSTM: dict(hidden_dims=8, depth=2),
}
"""Arguments of a small backbone with 16 features, by class."""


def small(backbone: type[BaseModule], skeleton=ARMS, **kwargs) -> BaseModule:
    """A small backbone in evaluation mode, with the same weights in every call."""
    torch.manual_seed(0)
    return backbone(skeleton, **{**SMALL[backbone], **kwargs}).eval()


def clips(n: int = 2, t: int = 7, v: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and a mask with gaps; the same in every call."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(n, t, v, 3, generator=generator)
    return inputs, torch.rand(n, t, v, generator=generator) > 0.3
