"""KArSL-100, leave one signer out: tested on signer 03. See karsl100_loso.py."""

from mmengine.config import read_base

with read_base():
    from .karsl100_loso import *

work_dir = "work_dirs/karsl100_loso_s03"

train_dataloader.merge(dict(dataset=dict(filter_cfg=dict(signers=("01", "02")))))
test_dataloader.merge(dict(dataset=dict(filter_cfg=dict(signers=("03",)))))
