"""karsl100_loso.py for a laptop: the first three signs of KArSL-100, a tiny model, 20 short epochs."""

from mmengine.config import read_base

with read_base():
    from ._base_.datasets.karsl import *
    from ._base_.default_runtime import *
    from ._base_.models.st_transformer_tiny import *
    from ._base_.schedules.adamw_20e import *

work_dir = "work_dirs/karsl100_loso_local"
model.merge(dict(cls_head=dict(num_classes=3)))

signs = (71, 72, 73)

train_dataloader.merge(
    dict(
        batch_size=16,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(filter_cfg=dict(signs=signs, signers=("01", "03"))),
    )
)
test_dataloader.merge(
    dict(
        batch_size=16,
        num_workers=0,
        dataset=dict(filter_cfg=dict(signs=signs, split=("train", "test"), signers=("02",))),
    )
)
