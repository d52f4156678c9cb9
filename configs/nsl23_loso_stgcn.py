"""nsl23_loso.py with STGCN, whose training loss falls too slowly with the learning rate of the other models."""

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
            channels=(32, 32),
            strides=(0,),
            dropout_ratio=0.2,
        ),
        cls_head=dict(in_channels=32),
    )
)
optim_wrapper.merge(dict(optimizer=dict(lr=1e-2)))
