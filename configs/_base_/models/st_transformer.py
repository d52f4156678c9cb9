"""Small STTransformer: 1.2 M parameters for karsl_184."""

from mmengine.config import read_base

from karsl.models import STTransformer

with read_base():
    from .recognizer import *

model.merge(
    dict(
        backbone=dict(
            type=STTransformer,
            skeleton="karsl_184",
            in_channels=3,
            embed_dims=128,
            depth=4,
            num_heads=4,
            dropout_ratio=0.1,
            max_frames=128,
        ),
        cls_head=dict(in_channels=128),
    )
)
