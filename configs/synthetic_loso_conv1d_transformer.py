"""synthetic_loso.py with Conv1DTransformer."""

from mmengine.config import read_base

with read_base():
    from .synthetic_loso import *
    from ._base_.models.conv1d_transformer_tiny import *  # isort: skip

work_dir = "work_dirs/synthetic_loso_conv1d_transformer"
model.merge(dict(backbone=dict(skeleton=dict(name="karsl_184", select=groups)), cls_head=dict(num_classes=20)))
