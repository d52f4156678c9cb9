"""The same on a laptop: the first three signs of KArSL-100, a tiny model, 20 short epochs."""

from mmengine.config import read_base

with read_base():
    from ._base_.datasets.karsl import *
    from ._base_.default_runtime import *
    from ._base_.models.st_transformer_tiny import *
    from ._base_.schedules.adamw_20e import *

held_out = "02"
train_signers = tuple(signer for signer in ("01", "02", "03") if signer != held_out)
signs = (71, 72, 73)

train_dataloader.merge(
    dict(
        batch_size=16,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(filter_cfg=dict(signs=signs, signers=train_signers)),
    )
)
test_dataloader.merge(
    dict(
        batch_size=16,
        num_workers=0,
        dataset=dict(filter_cfg=dict(signs=signs, split=("train", "test"), signers=(held_out,))),
    )
)
