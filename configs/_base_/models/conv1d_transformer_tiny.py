"""Tiny Conv1DTransformer for short runs on a CPU."""

from mmengine.config import read_base

with read_base():
    from .conv1d_transformer import *

model.merge(
    dict(
        backbone=dict(embed_dims=64, stages=1, convs=2, kernel_size=9, dropout_ratio=0.1, shape_groups=()),
        cls_head=dict(in_channels=64, dropout_ratio=0.2),
    )
)
