"""nsl23_loso.py with STTransformer."""

from mmengine.config import read_base

from karsl.models import STTransformer

with read_base():
    from .nsl23_loso import *

work_dir = "work_dirs/nsl23_loso_st_transformer"
model.merge(
    dict(
        backbone=dict(
            _delete_=True,
            type=STTransformer,
            skeleton=dict(name="mp_75", select=["rh"]),
            in_channels=3,
            embed_dims=64,
            depth=2,
        ),
        cls_head=dict(in_channels=64),
    )
)
