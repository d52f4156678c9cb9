"""Batches in one compiled pass: the transforms of a pipeline are recorded for N clips at once and applied together.

`segment` divides a pipeline and finds its clips, `deferred` records transforms, `batch` and `kernel` write the clips. All
but `plan` need numba, an optional dependency.
"""

import logging
from functools import cache
from importlib.util import find_spec
from multiprocessing import parent_process
from types import ModuleType

from mmengine.logging import print_log

from karsl.errors import first_line


@cache
def compiled() -> ModuleType | None:
    """Return `karsl.datasets.batching.batch`, or None without a numba that works. The import takes 0.4 s and 100 MiB."""
    return _import_batch()[0]


def uncompiled_reason() -> str:
    """Return why `compiled` returns None, as a clause; empty if it returns the module."""
    return _import_batch()[1]


@cache
def _import_batch() -> tuple[ModuleType | None, str]:
    if find_spec("numba") is None:
        return None, "numba is not installed: pip install 'karsl[fast]'"
    try:
        import numba

        if not getattr(numba.config, "DISABLE_JIT", 0):
            from karsl.datasets.batching import batch

            return batch, ""
        reason = "NUMBA_DISABLE_JIT is set in the environment"
    except Exception as error:  # of any class: a numba that does not fit NumPy or llvmlite, no folder for its cache
        reason = f"numba cannot be used ({first_line(error)}); if it finds no cache folder, set NUMBA_CACHE_DIR"
    if parent_process() is None:  # not once more per worker
        print_log(f"samples are made one by one because {reason}", logger="current", level=logging.WARNING)
    return None, reason
