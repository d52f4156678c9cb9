"""Conv1DTransformer with its default size."""

from mmengine.config import read_base

from karsl.models import Conv1DTransformer

with read_base():
    from .recognizer import *

model.merge(
    dict(
        backbone=dict(
            type=Conv1DTransformer,
            skeleton="karsl_184",
            in_channels=3,
            embed_dims=192,
            stages=2,
            convs=3,
            kernel_size=17,
            num_heads=4,
            dropout_ratio=0.2,
            shape_groups=("rh", "lh"),
        ),
        cls_head=dict(in_channels=192),
    )
)
