"""KArSL-100, leave one signer out, with validation by session: the best epoch is selected on a session of a training signer.

karsl splits make data/karsl data/karsl/splits --protocol leave-one-out --val-by session
karsl train configs/karsl100_validated.py --data-root data/karsl --split-file splits/leave-one-out-01.json
karsl test configs/karsl100_validated.py work_dirs/karsl100_validated/best_acc_top1_epoch_N.pth (the same options)
"""

from mmengine.config import read_base

with read_base():
    from ._base_.datasets.karsl_split import *
    from ._base_.early_stopping import *
    from ._base_.models.st_transformer import *
    from ._base_.schedules.adamw_50e import *

for loader in (train_dataloader, val_dataloader, test_dataloader):
    loader.dataset.filter_cfg.update(subset="karsl100")
