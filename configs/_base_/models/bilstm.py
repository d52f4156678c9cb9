"""BiLSTM with its default size."""

from mmengine.config import read_base

from karsl.models import BiLSTM

with read_base():
    from .recognizer import *

model.merge(
    dict(
        backbone=dict(
            type=BiLSTM,
            skeleton="karsl_184",
            in_channels=3,
            hidden_dims=192,
            depth=2,
            dropout_ratio=0.2,
        ),
        cls_head=dict(in_channels=384),
    )
)
