"""karsl100_loso.py with Conv1DTransformer: KArSL-100, signer 02 held out."""

from mmengine.config import read_base

with read_base():
    from .karsl100_loso import *
    from ._base_.models.conv1d_transformer import *  # isort: skip

work_dir = "work_dirs/karsl100_loso_conv1d_transformer"
model.merge(dict(cls_head=dict(num_classes=100)))
