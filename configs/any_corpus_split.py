"""Any corpus, also one that ships no parts, with a tiny model and early stopping on a validation part.

karsl splits make data/corpus data/corpus/split.json --protocol random --by clip --val-by clip
karsl train configs/any_corpus_split.py --data-root data/corpus --ann-file annotations.json --split-file split.json
"""

from mmengine.config import read_base

with read_base():
    from ._base_.datasets.karsl_split import *
    from ._base_.early_stopping import *
    from ._base_.models.st_transformer_tiny import *
    from ._base_.schedules.adamw_20e import *

train_dataloader.merge(dict(batch_size=8, num_workers=0, persistent_workers=False))
val_dataloader.merge(dict(batch_size=8, num_workers=0))
test_dataloader.merge(dict(batch_size=8, num_workers=0))
