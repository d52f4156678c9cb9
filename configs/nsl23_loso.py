"""NSL23, 49 handshapes of Nepali fingerspelling, leave one signer out: here signer 06, the hardest.

The right hand alone, relative to its wrist and in units of its palm: position and body say nothing about a handshape. The
distances between its keypoints, which `shape_groups` adds, hardly differ between signers. Clips are `.npz` files of the
skeleton `mp_75` with an annotation file, see docs/results.md.

karsl train configs/nsl23_loso.py --data-root data/nsl23 --cfg-options test_signer=01
"""

from mmengine.config import read_base
from mmengine.dataset import DefaultSampler
from mmengine.runner import TestLoop

from karsl.datasets import KeypointDataset, ResumableSampler, keypoint_collate
from karsl.datasets.transforms import (
    CenterScale,
    LoadKeypoints,
    PackKeypointInputs,
    RandomAffine,
    RandomGaussianNoise,
    SelectKeypoints,
    TSNSampleFrames,
)
from karsl.evaluation import AccuracyMetric

with read_base():
    from ._base_.default_runtime import *
    from ._base_.models.conv1d_transformer import *
    from ._base_.schedules.adamw_50e import *

work_dir = "work_dirs/nsl23_loso"
data_root = "data/nsl23"
clip_len = 8
train_signers, test_signers = ("01", "02", "03", "04", "05", "14"), ("06",)

model.merge(
    dict(
        backbone=dict(
            skeleton=dict(name="mp_75", select=["rh"]),
            embed_dims=128,
            stages=1,
            convs=2,
            kernel_size=5,
            shape_groups=("rh",),
        ),
        cls_head=dict(num_classes=49, in_channels=128, dropout_ratio=0.5),
    )
)

load = [
    dict(type=LoadKeypoints),
    dict(type=SelectKeypoints, names=["rh"]),
]
train_pipeline = [
    *load,
    dict(type=TSNSampleFrames, clip_len=clip_len, jitter=1.0),
    dict(type=CenterScale, per_group=True),
    dict(type=RandomAffine, rotation_deg=(-15, 15), scale=(0.9, 1.1), shift=(-0.05, 0.05)),
    dict(type=RandomGaussianNoise, sigma=0.02),
    dict(type=PackKeypointInputs),
]
test_pipeline = [
    *load,
    dict(type=TSNSampleFrames, clip_len=clip_len, jitter=0.0),
    dict(type=CenterScale, per_group=True),
    dict(type=PackKeypointInputs),
]

dataset = dict(
    type=KeypointDataset,
    ann_file="annotations.json",
    data_root=data_root,
    data_prefix=dict(keypoint_path="clips"),
)
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type=ResumableSampler),
    collate_fn=dict(type=keypoint_collate),
    dataset=dict(**dataset, filter_cfg=dict(signers=train_signers), pipeline=train_pipeline),
)
test_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=keypoint_collate),
    dataset=dict(**dataset, filter_cfg=dict(signers=test_signers), pipeline=test_pipeline, test_mode=True),
)
test_evaluator = dict(type=AccuracyMetric)
test_cfg = dict(type=TestLoop)
val_dataloader = None
val_evaluator = None
val_cfg = None
