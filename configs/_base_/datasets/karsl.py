"""KArSL in its `.npz` layout: all signs and signers, the train and test folders as distributed.

KArSL has no official validation split, and none is made here: training runs for a fixed number of epochs, the last
checkpoint is the result, and nothing is selected on the test clips.
"""

from mmengine.dataset import DefaultSampler
from mmengine.runner import TestLoop

from karsl.datasets import KArSLDataset, ResumableSampler, keypoint_collate
from karsl.datasets.transforms import (
    CenterScale,
    LoadKeypoints,
    PackKeypointInputs,
    RandomAffine,
    RandomFlip,
    TSNSampleFrames,
)
from karsl.evaluation import AccuracyMetric

data_root = "data/karsl"
clip_len = 32

train_pipeline = [
    dict(type=LoadKeypoints),
    dict(type=TSNSampleFrames, clip_len=clip_len, jitter=0.8),
    # Some signs are performed with either hand, so a mirrored clip is a plausible one.
    dict(type=RandomFlip, prob=0.5),
    dict(type=RandomAffine, rotation_deg=(-10, 10), scale=(0.9, 1.1), shift=(-0.05, 0.05)),
    dict(type=CenterScale),
    dict(type=PackKeypointInputs),
]
test_pipeline = [
    dict(type=LoadKeypoints),
    dict(type=TSNSampleFrames, clip_len=clip_len, jitter=0.0),
    dict(type=CenterScale),
    dict(type=PackKeypointInputs),
]

train_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type=ResumableSampler),
    collate_fn=dict(type=keypoint_collate),
    dataset=dict(type=KArSLDataset, data_root=data_root, filter_cfg=dict(split="train"), pipeline=train_pipeline),
)
test_dataloader = dict(
    batch_size=64,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=keypoint_collate),
    dataset=dict(
        type=KArSLDataset,
        data_root=data_root,
        filter_cfg=dict(split="test"),
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_evaluator = dict(type=AccuracyMetric)
test_cfg = dict(type=TestLoop)
val_dataloader = None
val_evaluator = None
val_cfg = None
