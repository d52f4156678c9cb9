"""Checks of a config before anything is built: top-level keys, registered types, arguments of their classes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope, Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, LogProcessor, Runner, TestLoop, ValLoop
from torch.utils.data import DataLoader

from karsl import registry
from karsl.engine.config.tree import LOADERS, user_keys
from karsl.errors import ConfigError, did_you_mean, pluralize

# Read by the Runner from `cfg` besides its arguments, and by Config itself.
_READ_FROM_CFG = (
    "activation_checkpointing", "compile", "custom_imports", "efficient_conv_bn_eval", "find_unused_parameters",
    "model_wrapper_cfg", "sync_bn",
)  # fmt: skip
# Registry of the types under a key; other keys inherit that of the mapping they are in.
_REGISTRIES = {
    **dict.fromkeys(("model", "data_preprocessor"), registry.MODELS),
    **dict.fromkeys(("dataset", "datasets", "source"), registry.DATASETS),
    **dict.fromkeys(("pipeline", "transform", "transforms"), registry.TRANSFORMS),
    **dict.fromkeys(("sampler", "batch_sampler"), registry.DATA_SAMPLERS),
    **dict.fromkeys(("collate_fn", "worker_init_fn"), registry.FUNCTIONS),
    **dict.fromkeys(("train_cfg", "val_cfg", "test_cfg"), registry.LOOPS),
    **dict.fromkeys(("val_evaluator", "test_evaluator", "metrics"), registry.METRICS),
    **dict.fromkeys(("default_hooks", "custom_hooks"), registry.HOOKS),
    "optim_wrapper": registry.OPTIM_WRAPPERS,
    "optimizer": registry.OPTIMIZERS,
    "param_scheduler": registry.PARAM_SCHEDULERS,
    "log_processor": registry.LOG_PROCESSORS,
    "visualizer": registry.VISUALIZERS,
    "vis_backends": registry.VISBACKENDS,
}
# Mappings whose `type`, if any, means something else.
_OPAQUE = frozenset(("filter_cfg", "init_cfg", "metainfo", "paramwise_cfg"))
_IMPLIED_TYPES = {
    **dict.fromkeys(LOADERS, DataLoader),
    "val_cfg": ValLoop,
    "test_cfg": TestLoop,
    "optim_wrapper": OptimWrapper,
    "log_processor": LogProcessor,
}
# Keys that MMEngine takes out of a mapping before it calls the class.
_CONSUMED = frozenset(
    ("type", "_scope_", "_delete_", "by_epoch", "constructor", "paramwise_cfg", "priority", "convert_to_iter_based",
     "num_batch_per_epoch", "disable_subprocess_warning")
)  # fmt: skip
# Arguments that MMEngine adds, per registry.
_SUPPLIED = {
    registry.DATA_SAMPLERS: ("dataset", "seed", "sampler", "batch_size"),
    registry.LOOPS: ("runner", "dataloader", "evaluator"),
    registry.OPTIMIZERS: ("params",),
    registry.OPTIM_WRAPPERS: ("optimizer",),
    registry.PARAM_SCHEDULERS: ("optimizer",),
    registry.VISUALIZERS: ("name", "save_dir"),
    registry.VISBACKENDS: ("save_dir",),
}


@cache
def runner_keys() -> frozenset[str]:
    """Return the top-level config keys that MMEngine's Runner reads."""
    arguments = set(inspect.signature(Runner.__init__).parameters) - {"self", "cfg"}
    return frozenset(arguments.union(_READ_FROM_CFG))


def check_keys(keys: Iterable[str]) -> None:
    """Reject top-level keys that are nearly a Runner key: MMEngine would ignore them and train with defaults.

    Names that start with an underscore are always accepted.

    Raises:
        ConfigError: Names every such key with a suggestion.

    Example:
        >>> check_keys(["train_dataloader", "clip_len"])
        >>> check_keys(["train_dataloder"])
        Traceback (most recent call last):
        karsl.errors.ConfigError: unknown top-level key 'train_dataloder', did you mean 'train_dataloader'? ...
    """
    typos = {key: near for key in keys if (near := _nearest_runner_key(key))}
    if typos:
        found = "; ".join(f"unknown top-level key '{key}', did you mean '{near}'?" for key, near in typos.items())
        raise ConfigError(f"{found} A variable of that name needs a leading underscore, '_{next(iter(typos))}'")


@cache  # a config that was loaded is checked again when a Runner is built from it, since it may have changed
def _nearest_runner_key(key: str) -> str | None:
    if key in runner_keys() or key.startswith("_"):
        return None
    candidates = sorted(known for known in runner_keys() if abs(len(known) - len(key)) <= 2)
    swapped = [known for known in candidates if sorted(known) == sorted(key)]
    close = get_close_matches(key, candidates, n=1, cutoff=0.85) if len(key) >= 6 else []
    return next(iter([*swapped, *close]), None)


class _Component(NamedTuple):
    """A mapping of a config from which an object is built.

    Attributes:
        path: Dotted path of the mapping.
        config: The mapping.
        kind: Registry of its type; None for a loader.
        is_certain: False if the class that receives the mapping decides what it means: parts of a model, and mappings under
            a key without a registry of its own, such as `clip_grad=dict(type='value')` of an optimizer wrapper.
    """

    path: str
    config: Mapping
    kind: Registry | None
    is_certain: bool = True


def check_arguments(cfg: Config) -> list[str]:
    """Compare every mapping that names a type with the registry and the signature of its class.

    Args:
        cfg: A complete config.

    Returns:
        Possible mistakes inside `cfg.model`, one sentence each. A model may complete or consume the configs of its parts, so
        these are mistakes only if the model cannot be built.

    Raises:
        ConfigError: Names every type that is not registered, and every argument that is missing or unknown.

    Example:
        >>> check_arguments(Config({"train_cfg": {"by_epoch": True, "max_epochs": 1, "val_intervall": 1}}))
        Traceback (most recent call last):
        karsl.errors.ConfigError: train_cfg.val_intervall: EpochBasedTrainLoop has no argument 'val_intervall'; did you mean
        'val_interval'?
    """
    mistakes, possible = find_mistakes(cfg)
    if mistakes:
        raise ConfigError(join_sentences(mistakes))
    return possible


def check_loader(loader: Mapping, name: str, scope: str) -> None:
    """Check the types and arguments of a loader that is built without a Runner.

    Args:
        loader: Config of the loader.
        name: Its key.
        scope: Registry scope of its types.

    Raises:
        ConfigError: Names the first mistake, and the number of the others.
    """
    mistakes, _ = find_mistakes(Config({"default_scope": scope, name: loader}))
    if mistakes:
        others = f" ({pluralize(len(mistakes) - 1, 'other mistake')} in {name})" if len(mistakes) > 1 else ""
        raise ConfigError(f"{mistakes[0]}{others}")


def find_mistakes(cfg: Config) -> tuple[list[str], list[str]]:
    """Return the mistakes of a config, and the possible ones inside `cfg.model`; see `check_arguments`."""
    scope = cfg.get("default_scope")
    if scope and not _is_known_scope(scope):
        remedy = "set default_scope='karsl', install the project that it belongs to, or import its module (custom_imports)"
        return [f"default_scope={scope!r}: there is no package {scope!r}; {remedy}"], []
    mistakes: list[str] = []
    possible: list[str] = []
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope") or "mmengine"):
        for key in user_keys(cfg):
            if key not in _REGISTRIES and key not in LOADERS:
                continue
            for component in _components(cfg[key], key, _REGISTRIES.get(key)):
                for sentence, is_typo in _check_component(component, cfg.get("default_scope")):
                    if is_typo or component.is_certain:
                        mistakes.append(sentence)
                    elif key == "model":
                        possible.append(sentence)
    return mistakes, possible


def _is_known_scope(scope: str) -> bool:
    if scope == "mmengine" or find_spec(scope.partition(".")[0]) is not None:
        return True
    roots = [kind.parent for kind in vars(registry).values() if isinstance(kind, Registry) and kind.parent is not None]
    return any(scope in root.children for root in roots)


def join_sentences(sentences: list[str]) -> str:
    """Return one sentence as it is, several as a list."""
    if len(sentences) == 1:
        return sentences[0]
    return "\n  ".join([f"{len(sentences)} mistakes in the config:", *sentences])


def _components(node: Any, path: str, kind: Registry | None, *, is_certain: bool = True) -> Iterator[_Component]:
    if isinstance(node, Mapping):
        if kind is not None and "type" in node or path in _IMPLIED_TYPES or path == "train_cfg":
            yield _Component(path, node, kind, is_certain and not path.startswith("model."))
        for key in node:
            if key not in _OPAQUE:
                is_hook = path == "default_hooks"  # under any name, such as `param_scheduler`
                child_kind = kind if is_hook else _REGISTRIES.get(key, kind)
                yield from _components(node[key], f"{path}.{key}", child_kind, is_certain=is_hook or key in _REGISTRIES)
    elif isinstance(node, (list, tuple)):
        for number, item in enumerate(node):
            yield from _components(item, f"{path}.{number}", kind, is_certain=is_certain)


def _check_component(component: _Component, scope: str | None) -> Iterator[tuple[str, bool]]:
    """Yield each mistake, and True if it looks like a typo, which is a mistake whatever uses the mapping."""
    path, config, kind, _ = component
    target = config.get("type")
    if target is None:
        by_epoch = config.get("by_epoch", True)
        target = _IMPLIED_TYPES.get(path, EpochBasedTrainLoop if by_epoch else IterBasedTrainLoop)
    if isinstance(target, str):
        name, target = target, _find_type(target, kind, config.get("_scope_"))
        if target is None:
            remedy, is_typo = _explain_type(name, kind, scope)
            yield f"{path}.type: {remedy}", is_typo
    if callable(target) and "constructor" not in config:
        yield from _check_call(path, config, target, supplied=_SUPPLIED.get(kind, ()))


def _find_type(name: str, kind: Registry, scope: str | None) -> Any:
    """Look a name up as `Registry.build` does, in its own registry first."""
    others = [value for value in vars(registry).values() if isinstance(value, Registry) and value.parent is not None]
    for candidate in (kind, *others):
        with candidate.parent.switch_scope_and_registry(scope) as scoped:
            found = scoped.get(name)
        if found is not None:
            return found
    return None


def _explain_type(name: str, kind: Registry, scope: str | None) -> tuple[str, bool]:
    short = name.rpartition(".")[2]
    kind.import_from_location()
    names, others = list(kind.module_dict), list(kind.parent.module_dict) if kind.parent else []
    if name in names:
        return f"'{name}' belongs to karsl, but default_scope={scope!r}; set default_scope='karsl'", True
    if short in names:
        return f"no {kind.name} '{name}'; did you mean 'karsl.{short}'?", True
    hint = did_you_mean(short, [*names, *others])
    otherwise = "; check the spelling, and that its module is imported (custom_imports)"
    return f"no {kind.name} '{name}'{hint or otherwise}", bool(hint)


def _check_call(path: str, config: Mapping, target: Any, *, supplied: Iterable[str]) -> Iterator[tuple[str, bool]]:
    signature = _Signature.from_callable(target)
    if signature is None:
        return
    name = getattr(target, "__name__", type(target).__name__)
    unknown = [key for key in config if key not in _CONSUMED and key not in signature.names]
    for key in unknown if not signature.is_open else ():
        hint = did_you_mean(key, signature.names)
        # A class may use what it takes as **kwargs itself: reject only what looks like a typo.
        if hint or not signature.has_kwargs:
            takes = f"; it takes {', '.join(signature.names)}" if signature.names else "; it takes none"
            yield f"{path}.{key}: {name} has no argument '{key}'{hint or takes}", bool(hint)
    if not unknown:
        for key in signature.required:
            if key not in config and key not in supplied:
                yield f"{path}: {name} needs the argument '{key}'; add {path}.{key}", False


class _Signature(NamedTuple):
    """Keyword arguments of a class, those passed on to its bases with `**kwargs` included."""

    names: tuple[str, ...]
    required: tuple[str, ...]
    has_kwargs: bool
    is_open: bool
    """True if any keyword may be accepted."""

    @classmethod
    def from_callable(cls, target: Any) -> _Signature | None:
        """Inspect a class or function; None if it cannot be inspected."""
        if not isinstance(target, type):
            calls = [target]
        elif target.__new__ is not object.__new__:
            return None
        else:
            calls = [vars(base)["__init__"] for base in target.__mro__[:-1] if "__init__" in vars(base)]
        parameters: dict[str, inspect.Parameter] = {}
        is_open, required = False, tuple[str, ...]()
        for number, call in enumerate(calls):
            try:
                found = list(inspect.signature(call).parameters.values())[isinstance(target, type) :]
            except (TypeError, ValueError):
                return None
            named = [p for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
            parameters |= {p.name: p for p in named if p.name not in parameters}
            is_open = any(p.kind is p.VAR_KEYWORD for p in found)
            if number == 0:
                has_kwargs = is_open
                if isinstance(target, type):  # MMEngine passes further arguments when it calls a function
                    required = tuple(p.name for p in named if p.default is p.empty)
            if not is_open:
                break
        return cls(tuple(parameters), required, bool(calls) and has_kwargs, is_open)
