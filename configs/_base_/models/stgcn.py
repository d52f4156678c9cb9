"""STGCN with its default size."""

from mmengine.config import read_base

from karsl.models import STGCN

with read_base():
    from .recognizer import *

model.merge(
    dict(
        backbone=dict(
            type=STGCN,
            skeleton="karsl_184",
            in_channels=3,
            channels=(64, 64, 64, 64, 128, 128, 128, 256, 256, 256),
            strides=(4, 7),
        ),
        cls_head=dict(in_channels=256),
    )
)
