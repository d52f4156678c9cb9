"""Tiny STGCN for short runs on a CPU."""

from mmengine.config import read_base

with read_base():
    from .stgcn import *

model.merge(
    dict(
        backbone=dict(channels=(16, 16, 32, 32), strides=(2,)),
        cls_head=dict(in_channels=32, dropout_ratio=0.2),
    )
)
