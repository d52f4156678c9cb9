"""synthetic_loso.py with BiLSTM."""

from mmengine.config import read_base

with read_base():
    from .synthetic_loso import *
    from ._base_.models.bilstm_tiny import *  # isort: skip

work_dir = "work_dirs/synthetic_loso_bilstm"
model.merge(dict(backbone=dict(skeleton=dict(name="karsl_184", select=groups)), cls_head=dict(num_classes=20)))
