"""nsl23_loso.py with STGCN, which needs four blocks, a higher learning rate and less dropout than the other models."""

from mmengine.config import read_base

from karsl.models import STGCN

with read_base():
    from .nsl23_loso import *

work_dir = "work_dirs/nsl23_loso_stgcn"
model.merge(
    dict(
        backbone=dict(
            _delete_=True,
            type=STGCN,
            skeleton=dict(name="mp_75", select=["rh"]),
            in_channels=3,
            channels=(64, 64, 64, 128),
            strides=(0,),
        ),
        cls_head=dict(in_channels=128, dropout_ratio=0.2),
    )
)
optim_wrapper.merge(dict(optimizer=dict(lr=5e-3)))
