"""Leave one signer out on a hard synthetic corpus, here signer 03: compares models in minutes on a CPU.

The face is left out, since it does not depend on the sign. Make the corpus as docs/results.md shows, then:

karsl loso configs/synthetic_loso.py --data-root hard_corpus
"""

from mmengine.config import read_base

from karsl.datasets.transforms import SelectKeypoints

with read_base():
    from ._base_.datasets.karsl import *
    from ._base_.default_runtime import *
    from ._base_.models.st_transformer_tiny import *
    from ._base_.schedules.adamw_20e import *

data_root = "hard_corpus"
work_dir = "work_dirs/synthetic_loso"
clip_len = 16

groups = ["pose", "rh", "lh"]
load = [
    dict(type=LoadKeypoints),
    dict(type=SelectKeypoints, names=groups),
]
train_pipeline = [
    *load,
    dict(type=TSNSampleFrames, clip_len=clip_len, jitter=0.8),
    dict(type=RandomFlip, prob=0.5),
    dict(type=RandomAffine, rotation_deg=(-10, 10), scale=(0.9, 1.1), shift=(-0.05, 0.05)),
    dict(type=CenterScale),
    dict(type=PackKeypointInputs),
]
test_pipeline = [
    *load,
    dict(type=TSNSampleFrames, clip_len=clip_len, jitter=0.0),
    dict(type=CenterScale),
    dict(type=PackKeypointInputs),
]

model.merge(dict(backbone=dict(skeleton=dict(name="karsl_184", select=groups)), cls_head=dict(num_classes=20)))
train_dataloader.merge(
    dict(
        batch_size=16,
        num_workers=0,  # epochs take seconds, so that worker processes would cost more than they save
        persistent_workers=False,
        dataset=dict(data_root=data_root, filter_cfg=dict(signers=("01", "02")), pipeline=train_pipeline),
    )
)
test_dataloader.merge(
    dict(
        num_workers=0,
        dataset=dict(data_root=data_root, filter_cfg=dict(split=("train", "test"), signers=("03",)), pipeline=test_pipeline),
    )
)
