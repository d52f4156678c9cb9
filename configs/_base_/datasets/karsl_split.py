"""karsl.py with the three parts of a split file of `karsl splits make`, and selection on its validation part.

`--split-file FILE` or `--cfg-options split_file=FILE` selects another file.
"""

from mmengine.config import read_base
from mmengine.runner import ValLoop

with read_base():
    from .karsl import *

split_file = "splits/leave-one-out-02.json"

train_dataloader.merge(dict(dataset=dict(filter_cfg=dict(split=None, split_file=split_file, part="train"))))
val_dataloader = dict(
    batch_size=64,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=keypoint_collate),
    dataset=dict(
        type=KArSLDataset,
        data_root=data_root,
        filter_cfg=dict(split_file=split_file, part="val"),
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
val_evaluator = dict(type=AccuracyMetric)
val_cfg = dict(type=ValLoop)
test_dataloader.merge(dict(dataset=dict(filter_cfg=dict(split=None, split_file=split_file, part="test"))))
