"""Any corpus whose clips have a signer, with a tiny model, for `karsl loso`: it selects the signers of each fold.

karsl loso configs/any_corpus_loso.py --data-root data/corpus --ann-file annotations.json
"""

from mmengine.config import read_base

with read_base():
    from .karsl_layout_3signs import *

work_dir = "work_dirs/any_corpus_loso"
train_dataloader.merge(dict(dataset=dict(filter_cfg=dict(split=None))))
test_dataloader.merge(dict(dataset=dict(filter_cfg=dict(split=None))))
