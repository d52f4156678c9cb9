"""Any small folder in KArSL's layout: its train folders for training, its test folders for testing.

karsl train configs/karsl_layout_3signs.py --data-root my/folder
"""

from mmengine.config import read_base

with read_base():
    from ._base_.datasets.karsl import *
    from ._base_.default_runtime import *
    from ._base_.models.st_transformer_tiny import *
    from ._base_.schedules.adamw_20e import *

work_dir = "work_dirs/karsl_layout_3signs"
model.merge(dict(cls_head=dict(num_classes=3)))

data_root = "data/karsl_layout"
train_dataloader.merge(dict(batch_size=8, num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root)))
test_dataloader.merge(dict(batch_size=8, num_workers=0, dataset=dict(data_root=data_root)))
