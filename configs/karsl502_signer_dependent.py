"""KArSL-502, signer-dependent: the train and test folders of all three signers.

Published top-1 accuracy is 99 %, so this protocol is saturated; karsl100_loso.py has the open one.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.datasets.karsl import *
    from ._base_.default_runtime import *
    from ._base_.models.st_transformer import *
    from ._base_.schedules.adamw_50e import *

work_dir = "work_dirs/karsl502_signer_dependent"

train_dataloader.merge(dict(dataset=dict(filter_cfg=dict(subset="karsl502"))))
test_dataloader.merge(dict(dataset=dict(filter_cfg=dict(subset="karsl502"))))
