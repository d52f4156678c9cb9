"""KArSL-100 (signs 71-170), leave one signer out.

Train on the *train* folders of two signers, test on *all* clips of the third. Run it three times, with `held_out` 01,
02 and 03, and report each and the mean. Published top-1 of a pose transformer: 75.3 / 59.4 / 70.0 (Alyami et al. 2024).
No validation split and no model selection: the last checkpoint is the result.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.datasets.karsl import *
    from ._base_.default_runtime import *
    from ._base_.models.st_transformer import *
    from ._base_.schedules.adamw_50e import *

held_out = "02"  # the hardest of the three
train_signers = tuple(signer for signer in ("01", "02", "03") if signer != held_out)

train_dataloader.merge(dict(dataset=dict(filter_cfg=dict(subset="karsl100", signers=train_signers))))
test_dataloader.merge(dict(dataset=dict(filter_cfg=dict(subset="karsl100", split=("train", "test"), signers=(held_out,)))))
