"""What was recorded, as text and as a config that rebuilds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from karsl.datasets.combine.tree import source_of
from karsl.errors import ConfigError, type_name

ACTIONS = ("add_dataset", "map", "filter", "mix", "set_encoder", "encode")


@dataclass(frozen=True)
class Recorded:
    """One call.

    Attributes:
        action: One of `ACTIONS`.
        arguments: Those that were given.
        note: What came of it, for the text.
    """

    action: str
    arguments: Mapping[str, Any]
    note: str = ""

    def text(self) -> str:
        """One line."""
        shown = ", ".join(f"{name}={_shown(value)}" for name, value in self.arguments.items())
        return f"{self.action}({shown})" + (f": {self.note}" if self.note else "")

    def config(self, number: int) -> dict:
        """The call as data.

        Raises:
            ConfigError: An argument is an object that no config can name.
        """
        where = f"step {number}, {self.action}"
        return {"do": self.action} | {name: plain(value, f"{where}: {name}") for name, value in self.arguments.items()}


def plain(value: Any, where: str) -> Any:
    """A value as a config holds it; a function or class of a module becomes `'module:name'`.

    Raises:
        ConfigError: Neither data nor something that can be imported again.
    """
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item, where) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (Sequence, range)):
        return [plain(item, where) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    name = f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', '')}"
    try:
        if callable(value) and imported(name) is value:
            return name
    except ConfigError:
        pass
    raise ConfigError(
        f"{where} is a {type_name(value)}, which no config can name; give a config, or a function at the top of a module"
    )


def imported(name: str) -> Any:
    """What `'module:name'` names.

    Raises:
        ConfigError: Nothing.
    """
    module, _, attribute = name.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{name!r} cannot be imported ({error}); expected 'package.module:function'") from error


def revived(value: Any) -> Any:
    """A callable for `'module:name'`, in `type` too; everything else as it is."""
    if isinstance(value, str) and ":" in value and value.replace(":", "").replace(".", "").replace("_", "").isalnum():
        return imported(value)
    if isinstance(value, Mapping):
        return {key: revived(item) if key == "type" else item for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [revived(item) for item in value]
    return value


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and "type" in value:
        rest = ", ".join(f"{k}={_shown(v)}" for k, v in value.items() if k != "type")
        return f"{type_name(dict(value))}({rest})"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, Callable):  # type: ignore[arg-type]
        return getattr(value, "__name__", type_name(value))
    if type(value).__repr__ is object.__repr__:
        return f"{type_name(value)}({source_of(value)})"  # an address says nothing
    text = repr(value).splitlines()[0]
    return text if len(text) < 80 else f"{text[:77]}..."
