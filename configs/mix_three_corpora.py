"""Training on three corpora with different keypoint layouts: KArSL, MSL-150 and ASL-App.

Keypoints are matched by name and reduced to those that all three corpora have: arms and hands. Classes of the same name are
merged. An epoch has equally many clips of each corpus; those of smaller corpora are repeated with other random numbers.

karsl pack my/karsl data/mix/karsl
karsl pack my/msl150 data/mix/msl150
karsl pack my/asl_app data/mix/asl_app
karsl train configs/mix_three_corpora.py
"""

from mmengine.config import read_base
from mmengine.dataset import DefaultSampler
from mmengine.runner import TestLoop

from karsl.datasets import (
    ConcatDataset,
    FilterDataset,
    KArSLDataset,
    KeypointDataset,
    MapDataset,
    MixDataset,
    ResumableSampler,
    SliceDataset,
    keypoint_collate,
)
from karsl.datasets.transforms import (
    CenterScale,
    LoadKeypoints,
    PackKeypointInputs,
    RandomAffine,
    RandomFlip,
    SelectKeypoints,
    TSNSampleFrames,
)
from karsl.evaluation import AccuracyMetric

with read_base():
    from ._base_.default_runtime import *
    from ._base_.models.st_transformer_tiny import *
    from ._base_.schedules.adamw_20e import *

work_dir = "work_dirs/mix_three_corpora"
model.merge(
    dict(
        backbone=dict(skeleton=dict(name="karsl_184", select=["pose", "rh", "lh"])),
        cls_head=dict(num_classes=502 + 150 + 100),  # `karsl train` counts classes of the same name once
    )
)

data_root = "data/mix"
clip_len = 32
aliases = dict(ambulancia="ambulance", dolor="pain", hoy="today", yo="me")

load = [
    dict(type=LoadKeypoints),
    dict(type=SelectKeypoints, skeleton=dict(name="karsl_184", select=["pose", "rh", "lh"])),
]
karsl = dict(
    type=KArSLDataset,
    ann_file="karsl/annotations.json",
    data_root=data_root,
    data_prefix=dict(keypoint_path="karsl"),
    pipeline=load,
)
msl150 = dict(
    type=KeypointDataset,
    ann_file="msl150/annotations.json",
    data_root=data_root,
    data_prefix=dict(keypoint_path="msl150"),
    pipeline=load,
)
asl_app = dict(
    type=KeypointDataset,
    ann_file="asl_app/annotations.json",
    data_root=data_root,
    data_prefix=dict(keypoint_path="asl_app"),
    pipeline=load,
)

train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type=ResumableSampler),
    collate_fn=dict(type=keypoint_collate),
    dataset=dict(
        type=MapDataset,
        transform=[
            dict(type=TSNSampleFrames, clip_len=clip_len, jitter=0.8),
            dict(type=RandomFlip, prob=0.5),
            dict(type=RandomAffine, rotation_deg=(-10, 10), scale=(0.9, 1.1), shift=(-0.05, 0.05)),
            dict(type=CenterScale),
            dict(type=PackKeypointInputs),
        ],
        dataset=dict(
            type=MixDataset,
            stopping_strategy="all_exhausted",
            labels="union",
            aliases=aliases,
            datasets=[
                dict(type=FilterDataset, predicate=dict(split="train"), dataset=karsl),
                # MSL-150 has no official split; this one does not separate signers.
                dict(type=FilterDataset, predicate=dict(type="hash_split", split="train"), dataset=msl150),
                asl_app,  # one clip per sign, so none is left for testing
            ],
        ),
    ),
)
test_dataloader = dict(
    batch_size=64,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=keypoint_collate),
    dataset=dict(
        type=MapDataset,
        transform=[
            dict(type=TSNSampleFrames, clip_len=clip_len, jitter=0.0),
            dict(type=CenterScale),
            dict(type=PackKeypointInputs),
        ],
        dataset=dict(
            type=ConcatDataset,
            labels="union",
            aliases=aliases,
            datasets=[  # in the order of training, so that labels are the same
                dict(type=FilterDataset, predicate=dict(split="test"), dataset=karsl),
                dict(type=FilterDataset, predicate=dict(type="hash_split", split="test"), dataset=msl150),
                dict(type=SliceDataset, indices=0, dataset=asl_app),  # its classes without its clips
            ],
        ),
    ),
)
test_evaluator = dict(type=AccuracyMetric)
test_cfg = dict(type=TestLoop)
val_dataloader = None
val_evaluator = None
val_cfg = None
