"""nsl23_loso.py with BiLSTM."""

from mmengine.config import read_base

from karsl.models import BiLSTM

with read_base():
    from .nsl23_loso import *

work_dir = "work_dirs/nsl23_loso_bilstm"
model.merge(
    dict(
        backbone=dict(
            _delete_=True,
            type=BiLSTM,
            skeleton=dict(name="mp_75", select=["rh"]),
            in_channels=3,
            hidden_dims=128,
            depth=1,
            shape_groups=("rh",),
        ),
        cls_head=dict(in_channels=256),
    )
)
