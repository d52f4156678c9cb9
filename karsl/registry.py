"""Child registries of MMEngine's, scope `karsl`.

MMEngine finds them by this module's name (`{scope}.registry`), so it must stay at this path. `locations` are imported at
the first look-up: a config that names a type is enough, no import list is needed.
"""

from __future__ import annotations

from mmengine import registry as mm

__all__ = [
    "DATASETS",
    "DATA_SAMPLERS",
    "FUNCTIONS",
    "HOOKS",
    "METRICS",
    "MODELS",
    "OPTIM_WRAPPERS",
    "TRANSFORMS",
    "VISUALIZERS",
]


def _child(name: str, parent: mm.Registry, *locations: str) -> mm.Registry:
    return mm.Registry(name, parent=parent, scope="karsl", locations=list(locations))


DATASETS = _child("dataset", mm.DATASETS, "karsl.datasets")
TRANSFORMS = _child("transform", mm.TRANSFORMS, "karsl.datasets.transforms")
DATA_SAMPLERS = _child("data sampler", mm.DATA_SAMPLERS, "karsl.datasets")
FUNCTIONS = _child("function", mm.FUNCTIONS, "karsl.datasets")
MODELS = _child("model", mm.MODELS, "karsl.models")
METRICS = _child("metric", mm.METRICS, "karsl.evaluation")
HOOKS = _child("hook", mm.HOOKS, "karsl.engine")
OPTIM_WRAPPERS = _child("optimizer wrapper", mm.OPTIM_WRAPPERS, "karsl.engine")
VISUALIZERS = _child("visualizer", mm.VISUALIZERS, "karsl.visualization")
