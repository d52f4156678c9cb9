"""Child registries of MMEngine's, scope `karsl`.

MMEngine finds them by this module's name (`{scope}.registry`), so it must stay at this path. `locations` are imported at
the first look-up: a config that names a type is enough, no import list is needed.
"""

from __future__ import annotations

from mmengine import registry as mm


def _child(name: str, parent: mm.Registry, *locations: str) -> mm.Registry:
    return mm.Registry(name, parent=parent, scope="karsl", locations=list(locations))


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
