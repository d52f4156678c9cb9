"""Tiny BiLSTM for short runs on a CPU."""

from mmengine.config import read_base

with read_base():
    from .bilstm import *

model.merge(
    dict(
        backbone=dict(hidden_dims=64, depth=1),
        cls_head=dict(in_channels=128, dropout_ratio=0.2),
    )
)
