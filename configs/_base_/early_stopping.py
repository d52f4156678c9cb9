"""default_runtime.py that keeps the best checkpoint by validation accuracy, and stops when it no longer rises."""

from mmengine.config import read_base
from mmengine.hooks import EarlyStoppingHook

with read_base():
    from .default_runtime import *

default_hooks.merge(dict(checkpoint=dict(save_best="acc/top1", rule="greater")))
custom_hooks.append(dict(type=EarlyStoppingHook, monitor="acc/top1", rule="greater", min_delta=0.001, patience=10))
