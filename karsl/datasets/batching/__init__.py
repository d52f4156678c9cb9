"""Batches in one compiled pass: the transforms of a pipeline are recorded for N clips at once and applied together.

`segment` divides a pipeline and finds its clips, `deferred` records transforms, `batch` and `kernel` write the clips. All
but `plan` need numba, an optional dependency.
"""

from functools import cache
from importlib.util import find_spec
from types import ModuleType


@cache
def compiled() -> ModuleType | None:
    """Return `karsl.datasets.batching.batch`, or None without numba. The import takes 0.4 s and 100 MiB."""
    if find_spec("numba") is None:
        return None
    from karsl.datasets.batching import batch

    return batch
