"""Plugins: installed packages that register formats, skeletons, datasets and transforms through an entry point.

A package names a module in the group `karsl.plugins` of its entry points. The module is imported at the first look-up of a
name, by `karsl.skeletons`, `karsl.formats` or a registry, so that installing the package is enough.
"""

from __future__ import annotations

import warnings
from importlib.metadata import EntryPoint, entry_points
from multiprocessing import parent_process

GROUP = "karsl.plugins"
_is_loaded = False


def load_plugins() -> None:
    """Import the plugins, in the order of their names, at the first call in a process.

    A plugin that fails is left out with a warning that names it; worker processes do not repeat the warning. An entry point
    that is a function, as in `my_corpus:register`, is called.
    """
    global _is_loaded
    if _is_loaded:
        return
    _is_loaded = True  # before the imports, which look up names, too
    for plugin in sorted(entry_points(group=GROUP), key=lambda plugin: (plugin.name, plugin.value)):
        try:
            loaded = plugin.load()
            if callable(loaded):
                loaded()
        except Exception as error:
            if parent_process() is None:
                warnings.warn(_describe(plugin, error), RuntimeWarning, stacklevel=2)


def _describe(plugin: EntryPoint, error: Exception) -> str:
    package = "" if plugin.dist is None else f" of {plugin.dist.name} {plugin.dist.version}"
    problem = f"{type(error).__name__}: {error}"
    return f"plugin {plugin.name!r}{package} is left out, it cannot be imported ({problem}); update or uninstall the package"
