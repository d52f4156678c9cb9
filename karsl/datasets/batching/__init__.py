"""stub of owner batching"""
from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType


@cache
def compiled() -> ModuleType | None:
    return None if find_spec("numba") is None else import_module("karsl.datasets.batching.batch")
