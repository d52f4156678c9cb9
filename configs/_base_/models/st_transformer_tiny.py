"""Tiny STTransformer for short runs on a CPU: 0.17 M parameters for karsl_184."""

from mmengine.config import read_base

with read_base():
    from .st_transformer import *

model.merge(
    dict(
        backbone=dict(embed_dims=64, depth=2),
        cls_head=dict(in_channels=64, dropout_ratio=0.2),
    )
)
