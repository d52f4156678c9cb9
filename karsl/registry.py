"""Child registries of MMEngine's, scope `karsl`.

MMEngine finds them by this module's name (`{scope}.registry`), so it must stay at this path. `locations` are imported at
the first look-up: a config that names a type is enough, no import list is needed.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import wraps
from typing import Any

from mmengine import registry as mm

from karsl.errors import ConfigError, did_you_mean
from karsl.plugins import load_plugins


class _Registry(mm.Registry):
    """A registry that suggests names in place of misspelled ones: of types, and of the arguments of its classes."""

    def build(self, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        """Build an object. ConfigError if no class has the name."""
        try:
            return super().build(cfg, *args, **kwargs)
        except KeyError as error:
            name = cfg.get("type") if isinstance(cfg, Mapping) else None
            if not isinstance(name, str) or f"{name} is not in the " not in str(error):
                raise
            hint = did_you_mean(name, [*self.module_dict, *self.parent.module_dict])
            otherwise = "; check the spelling, and that its module is imported"
            raise ConfigError(f"no {self.name} '{name}'{hint or otherwise}") from error

    def import_from_location(self) -> None:
        """Import the package of the registry, then the plugins, at the first look-up."""
        super().import_from_location()
        load_plugins()

    def _register_module(self, module: Any, *args: Any, **kwargs: Any) -> None:
        super()._register_module(module, *args, **kwargs)
        init = module.__init__ if inspect.isclass(module) else object.__init__
        if init is not object.__init__ and not hasattr(init, "__wrapped__"):  # a class may have several names
            module.__init__ = _explain_arguments(init)


def _explain_arguments(init: Any) -> Any:
    """Wrap an `__init__` so that the error of an unknown argument names the class of the user and similar arguments."""

    @wraps(init)
    def explained(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            init(self, *args, **kwargs)
        except TypeError as error:
            name = next((name for name in kwargs if f"unexpected keyword argument '{name}'" in str(error)), None)
            if name is None:
                raise
            known = _arguments_of(type(self))
            hint = did_you_mean(name, known, f"it takes {', '.join(known)}")
            raise TypeError(f"{type(self).__name__} has no argument '{name}'{hint}") from error

    # MMEngine's ManagerMixin inspects it without following wrappers.
    explained.__signature__ = inspect.signature(init)  # type: ignore[attr-defined]
    return explained


def _arguments_of(cls: type) -> list[str]:
    """Return the keyword arguments of a class and of its bases, as far as `**kwargs` reach them."""
    names: dict[str, None] = {}
    for base in cls.__mro__:
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values() if "__init__" in vars(base) else ()
        names |= {p.name: None for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if parameters and not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return [name for name in names if name != "self"]


def _child(name: str, parent: mm.Registry, *locations: str) -> mm.Registry:
    return _Registry(name, parent=parent, scope="karsl", locations=list(locations))


DATASETS = _child("dataset", mm.DATASETS, "karsl.datasets", "karsl.ray")
TRANSFORMS = _child("transform", mm.TRANSFORMS, "karsl.datasets.transforms")
DATA_SAMPLERS = _child("data sampler", mm.DATA_SAMPLERS, "karsl.datasets", "karsl.ray")
FUNCTIONS = _child("function", mm.FUNCTIONS, "karsl.datasets")
MODELS = _child("model", mm.MODELS, "karsl.models")
METRICS = _child("metric", mm.METRICS, "karsl.evaluation")
HOOKS = _child("hook", mm.HOOKS, "karsl.engine", "karsl.profiling.hook", "karsl.visualization.hooks")
OPTIM_WRAPPERS = _child("optimizer wrapper", mm.OPTIM_WRAPPERS, "karsl.engine")
VISUALIZERS = _child("visualizer", mm.VISUALIZERS, "karsl.visualization.hooks")

# karsl registers nothing in these. They let types of users resolve under default_scope='karsl', and prevent MMEngine's
# warning at every start that the scope has no such registry.
OPTIMIZERS = _child("optimizer", mm.OPTIMIZERS, "karsl.engine")
OPTIM_WRAPPER_CONSTRUCTORS = _child("optimizer wrapper constructor", mm.OPTIM_WRAPPER_CONSTRUCTORS, "karsl.engine")
PARAM_SCHEDULERS = _child("parameter scheduler", mm.PARAM_SCHEDULERS, "karsl.engine")
LOOPS = _child("loop", mm.LOOPS, "karsl.engine")
RUNNERS = _child("runner", mm.RUNNERS, "karsl.engine")
LOG_PROCESSORS = _child("log processor", mm.LOG_PROCESSORS, "karsl.engine")
MODEL_WRAPPERS = _child("model wrapper", mm.MODEL_WRAPPERS, "karsl.engine")
WEIGHT_INITIALIZERS = _child("weight initializer", mm.WEIGHT_INITIALIZERS, "karsl.models")
EVALUATOR = _child("evaluator", mm.EVALUATOR, "karsl.evaluation")
VISBACKENDS = _child("visualizer backend", mm.VISBACKENDS, "karsl.visualization")
