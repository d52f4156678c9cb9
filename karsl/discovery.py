"""Import of all modules of a package, so that what they register is found."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules


def import_modules(package: str, path: Iterable[str]) -> None:
    """Import every module and subpackage of a package: a new file that registers a class needs no other edit.

    The `__init__` of the package calls this last. Modules of a subpackage are left to its own `__init__`, so that those
    which need an optional dependency are imported on demand.

    Args:
        package: `__name__` of the package.
        path: `__path__` of the package.
    """
    for module in iter_modules(path, f"{package}."):
        import_module(module.name)
