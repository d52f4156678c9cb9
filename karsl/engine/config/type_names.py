"""Say where in a config a type stands that is not registered, and what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmengine.config import Config
from mmengine.registry import Registry

from karsl import registry
from karsl.engine.config.walk import own_keys, placed_mappings
from karsl.errors import did_you_mean

_UNREGISTERED = re.compile(r"([\w.]+) is not in the \w+::([\w ]+) registry")


def explain_type(cfg: Config, error: BaseException) -> str | None:
    """One sentence for a type that MMEngine did not find, by its place in the config; None for any other error.

    Args:
        cfg: What was built.
        error: Raised by a registry, perhaps as the cause of others.

    Example:
        >>> cfg = Config({"default_scope": "mmaction", "model": {"type": "STTransformer"}})
        >>> print(explain_type(cfg, KeyError("STTransformer is not in the mmengine::model registry.")))
        model.type: 'STTransformer' is karsl's, and default_scope='mmaction' looks elsewhere; set default_scope='karsl'
    """
    texts = (str(cause) for cause in _causes(error) if isinstance(cause, KeyError))
    found = next((match for text in texts if (match := _UNREGISTERED.search(text))), None)
    if found is None:
        return None
    name, kind = found.groups()
    return f"{_place(cfg, name)}: {_remedy(name, kind, cfg.get('default_scope'))}"


def _remedy(name: str, kind: str, scope: str | None) -> str:
    short = name.rpartition(".")[2]
    ours = next((child for child in vars(registry).values() if isinstance(child, Registry) and kind in _kinds(child)), None)
    names, others = _names(ours), _names(ours.parent if ours else None)
    if name in names:
        return f"'{name}' is karsl's, and default_scope={scope!r} looks elsewhere; set default_scope='karsl'"
    if short in names:
        return f"no {kind} '{name}'; did you mean 'karsl.{short}'?"
    hint = did_you_mean(short, [*names, *others], "is it spelt right, and its module imported (custom_imports)?")
    return f"no {kind} '{name}'{hint}"


def _kinds(child: Registry) -> tuple[str, ...]:
    """What messages call it: MMEngine's `vis_backend` is our `visualizer backend`."""
    return (child.name,) if child.parent is None else (child.name, child.parent.name)


def _names(known: Registry | None) -> list[str]:
    if known is None:
        return []
    known.import_from_location()
    return list(known.module_dict)


def _place(cfg: Config, name: str) -> str:
    for key in own_keys(cfg):
        for path, node in placed_mappings(cfg[key], key):
            if node.get("type") == name:
                return f"{path}.type"
    return "type"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
