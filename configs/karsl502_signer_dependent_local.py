"""karsl502_signer_dependent.py for a laptop: signs 1 to 3, a tiny model, 20 short epochs."""

from mmengine.config import read_base

with read_base():
    from ._base_.datasets.karsl import *
    from ._base_.default_runtime import *
    from ._base_.models.st_transformer_tiny import *
    from ._base_.schedules.adamw_20e import *

work_dir = "work_dirs/karsl502_signer_dependent_local"
model.merge(dict(cls_head=dict(num_classes=3)))

signs = (1, 2, 3)
train_dataloader.merge(
    dict(batch_size=16, num_workers=0, persistent_workers=False, dataset=dict(filter_cfg=dict(signs=signs)))
)
test_dataloader.merge(dict(batch_size=16, num_workers=0, dataset=dict(filter_cfg=dict(signs=signs))))
