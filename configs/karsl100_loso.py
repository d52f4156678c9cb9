"""KArSL-100 (signs 71-170), leave one signer out.

Train on the *train* folders of two signers and test on *all* clips of the third, here signer 02, the hardest. Run
karsl100_loso_s01.py, _s02.py and _s03.py, and report each result and the mean. Published top-1 accuracy of a pose
transformer: 75.3 / 59.4 / 70.0 (Alyami et al. 2024). There is no validation split and no model selection: the last
checkpoint is the result.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.datasets.karsl import *
    from ._base_.default_runtime import *
    from ._base_.models.st_transformer import *
    from ._base_.schedules.adamw_50e import *

work_dir = "work_dirs/karsl100_loso"
model.merge(dict(cls_head=dict(num_classes=100)))
train_dataloader.merge(dict(dataset=dict(filter_cfg=dict(subset="karsl100", signers=("01", "03")))))
test_dataloader.merge(dict(dataset=dict(filter_cfg=dict(subset="karsl100", split=("train", "test"), signers=("02",)))))
