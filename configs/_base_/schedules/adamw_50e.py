"""AdamW with 2 epochs of warm-up and cosine decay to zero at epoch 50.

`train_cfg.max_epochs` only sets when training stops; the learning rate follows `param_scheduler`. So a run that is stopped
at epoch 10 and resumed until 50 equals an uninterrupted one.
"""

from mmengine.optim import CosineAnnealingLR, LinearLR, OptimWrapper
from mmengine.runner import EpochBasedTrainLoop
from torch.optim import AdamW

train_cfg = dict(type=EpochBasedTrainLoop, max_epochs=50)
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.01, by_epoch=True, begin=0, end=2, convert_to_iter_based=True),
    dict(type=CosineAnnealingLR, by_epoch=True, begin=2, end=50, T_max=48, convert_to_iter_based=True),
]
