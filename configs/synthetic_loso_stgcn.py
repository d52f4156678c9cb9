"""synthetic_loso.py with STGCN."""

from mmengine.config import read_base

with read_base():
    from .synthetic_loso import *
    from ._base_.models.stgcn_tiny import *  # isort: skip

work_dir = "work_dirs/synthetic_loso_stgcn"
model.merge(dict(backbone=dict(skeleton=dict(name="karsl_184", select=groups)), cls_head=dict(num_classes=20)))
