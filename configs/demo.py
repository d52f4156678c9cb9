"""Config of `karsl demo` for its synthetic corpus: train on signers 01 and 02, test on all clips of signer 03."""

from mmengine.config import read_base

with read_base():
    from ._base_.datasets.karsl import *
    from ._base_.default_runtime import *
    from ._base_.models.st_transformer_tiny import *
    from ._base_.schedules.adamw_20e import *

data_root = "demo_out/karsl_synthetic"
work_dir = "demo_out/train"

model.merge(dict(cls_head=dict(num_classes=8)))
train_dataloader.merge(dict(batch_size=16, dataset=dict(data_root=data_root, filter_cfg=dict(signers=("01", "02")))))
test_dataloader.merge(dict(dataset=dict(data_root=data_root, filter_cfg=dict(split=("train", "test"), signers=("03",)))))
