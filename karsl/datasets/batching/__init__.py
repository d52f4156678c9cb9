"""Stand-in for the batching package."""
from functools import cache
from importlib import import_module
from importlib.util import find_spec


@cache
def compiled():
    return None if find_spec("numba") is None else import_module("karsl.datasets.batching.batch")
