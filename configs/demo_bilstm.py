"""demo.py with BiLSTM: synthetic clips, signer 03 held out."""

from mmengine.config import read_base

with read_base():
    from .demo import *
    from ._base_.models.bilstm_tiny import *  # isort: skip

work_dir = "demo_out/train_bilstm"
model.merge(dict(cls_head=dict(num_classes=8)))
