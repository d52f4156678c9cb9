"""Say where in a config an argument stands that its class does not take, or a type that is not there."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mmengine.config import Config
from mmengine.registry import Registry

from karsl import registry
from karsl.engine.config.type_names import explain_type
from karsl.engine.config.walk import own_keys, placed_mappings
from karsl.errors import ConfigError, did_you_mean

_REGISTRIES = [value for value in vars(registry).values() if isinstance(value, Registry)]
_UNKNOWN = re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")
_MISSING = re.compile(r"(\w+)\.__init__\(\) missing \d+ required (?:positional|keyword-only) arguments?: '(\w+)'")


@contextmanager
def naming_arguments(cfg: Config) -> Iterator[None]:
    """Turn the error of a constructor that a config calls wrongly, or of a type that is not registered, into one sentence.

    An error that no key of the config explains passes through.

    Raises:
        ConfigError: Names the key's path, its class, and the argument or type that was probably meant.

    Example:
        >>> class Loop:
        ...     def __init__(self, max_epochs): ...
        >>> cfg = Config({"train_cfg": {"type": Loop, "max_epoch": 1}})
        >>> with naming_arguments(cfg):
        ...     Loop(max_epoch=1)
        Traceback (most recent call last):
        karsl.errors.ConfigError: train_cfg.max_epoch: Loop has no argument 'max_epoch'; did you mean 'max_epochs'?
    """
    try:
        yield
    except (TypeError, KeyError, ConfigError) as error:
        sentence = _explain(cfg, error) if isinstance(error, TypeError) else explain_type(cfg, error)
        if sentence is None:
            raise
        raise ConfigError(sentence) from error


def _explain(cfg: Config, error: TypeError) -> str | None:
    unknown, missing = _UNKNOWN.search(str(error)), _MISSING.search(str(error))
    if unknown:
        owner, key = unknown.groups()
        path = _place(cfg, owner, key)
        if path is None:
            return None
        known = [name for name in _arguments(error, owner) if name not in ("self", "args", "kwargs")]
        hint = did_you_mean(key, known, f"it takes {', '.join(known)}")
        return f"{path}.{key}: {owner} has no argument '{key}'{hint}"
    if missing:
        owner, key = missing.groups()
        path = _place(cfg, owner)
        return None if path is None else f"{path}: {owner} needs the argument '{key}'; add {path}.{key}"
    return None


def _place(cfg: Config, owner: str, key: str | None = None) -> str | None:
    """Path of the first part that makes an object of the class and has the key; a top-level part may leave `type` out."""
    for name in own_keys(cfg):
        for path, node in placed_mappings(cfg[name], name):
            if (key is None or key in node) and _makes(node, owner, is_top=path == name and key is not None):
                return path
    return None


def _makes(node: Mapping, owner: str, *, is_top: bool) -> bool:
    kind = node.get("type")
    if kind is None:
        return is_top
    classes = [kind] if isinstance(kind, type) else [reg.get(str(kind)) for reg in _REGISTRIES]
    return any(base.__name__ == owner for cls in classes if isinstance(cls, type) for base in inspect.getmro(cls))


def _arguments(error: TypeError, owner: str) -> list[str]:
    """Names that the constructor takes, those that it hands to its bases included."""
    cls = _class_called(error, owner)
    found: dict[str, None] = {}
    for base in inspect.getmro(cls) if cls else ():
        if "__init__" in vars(base) and base is not object:
            parameters = inspect.signature(vars(base)["__init__"]).parameters
            found.update(dict.fromkeys(parameters))
            if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
                break
    return list(found)


def _class_called(error: TypeError, owner: str) -> type | None:
    """The class of that name, among the values of the innermost frame: it was just being called there."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    frame = trace.tb_frame if trace else None
    values = [*frame.f_locals.values(), *frame.f_globals.values()] if frame else []
    for value in values:
        for cls in inspect.getmro(value if isinstance(value, type) else type(value)):
            if cls.__name__ == owner:
                return cls
    return None
