"""karsl502_signer_dependent.py with STGCN."""

from mmengine.config import read_base

with read_base():
    from .karsl502_signer_dependent import *
    from ._base_.models.stgcn import *  # isort: skip

work_dir = "work_dirs/karsl502_signer_dependent_stgcn"
