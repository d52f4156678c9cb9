"""The chain of transforms of a dataset: built from the registry, errors name clip and step, draws do not collide."""

from __future__ import annotations

import copy
import inspect
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS

from karsl.datasets.draws import mix64, name_code
from karsl.datasets.transforms.base import KeypointTransform
from karsl.errors import ConfigError, TransformError, did_you_mean
from karsl.registry import TRANSFORMS
from karsl.skeletons import Skeleton


class Pipeline(Compose):
    """MMEngine's Compose for clips.

    Our steps draw from counters. A step of one's own may draw from `random`, `np.random` or `torch`: these are seeded
    for it by (seed, epoch, sample, place in the pipeline) and put back afterwards, so it too draws the same in any
    worker and other numbers in each epoch.

    Args:
        transforms: Configs or callables, in order; None or empty is the identity.

    Raises:
        ConfigError: No transform has that name or takes those arguments, or a step is neither a config nor callable.
    """

    def __init__(self, transforms: Sequence[dict | Callable] | None) -> None:
        if isinstance(transforms, (str, Mapping)):
            raise ConfigError(f"pipeline={transforms!r}; expected a list of steps, [dict(type='LoadKeypoints'), ...]")
        super().__init__([_step(place, step) for place, step in enumerate(transforms or ())])
        seen: Counter[str] = Counter()
        for place, step in enumerate(self.transforms):
            if isinstance(step, KeypointTransform):
                name = step.rng_name
                seen[name] += 1
                stream = name_code(f"{name}#{seen[name]}" if seen[name] > 1 else name)
                if step.transform_id != stream:  # the step given may be in another pipeline too, so it keeps its own
                    self.transforms[place] = step = copy.copy(step)
                    step.transform_id = stream

    def __call__(self, results: dict, first: int = 0) -> dict | None:
        """Run every step from number `first`; stops at one that gives None."""
        last = deque(self.steps(results, first), maxlen=1)
        return last[0][1] if last else results

    def steps(self, results: dict, first: int = 0) -> Iterator[tuple[str, dict | None]]:
        """Run step by step, giving the name of each step and the results after it.

        Raises:
            TransformError: A step failed; the text names it and the clip.
        """
        start, sample_key = results, results.get("sample_key")
        for place, step in enumerate(self.transforms[first:], first):
            try:
                if isinstance(step, KeypointTransform) or sample_key is None:
                    results = step(results)
                else:
                    with _seeded_globals(mix64(int(sample_key) ^ name_code(f"step {place}"))):
                        results = step(results)
            except Exception as error:
                text = f"{step_name(step)} failed on {_clip_name(start)}: {_reason(error, results)}"
                raise TransformError(text) from error
            yield step_name(step), results
            if results is None:
                return


def output_skeleton(pipeline: Callable, skeleton: Skeleton) -> Skeleton:
    """The skeleton at the end of a pipeline: each step with `output_skeleton` is asked, any other leaves it as it is.

    Args:
        pipeline: A step, or a chain of them in an attribute `transforms`.
        skeleton: At its start.
    """
    for step in getattr(pipeline, "transforms", ()):
        skeleton = output_skeleton(step, skeleton)
    return pipeline.output_skeleton(skeleton) if hasattr(pipeline, "output_skeleton") else skeleton


def output_channels(pipeline: Callable, channels: int = 3) -> int:
    """C at the end of a pipeline, in the same way; clips are read with x, y, z."""
    for step in getattr(pipeline, "transforms", ()):
        channels = output_channels(step, channels)
    return pipeline.output_channels(channels) if hasattr(pipeline, "output_channels") else channels


def step_name(step: Callable) -> str:
    """How messages call a step: its class, or the function's name."""
    return getattr(step, "__name__", type(step).__name__)


def _clip_name(results: dict) -> str:
    place = f"sample {results['sample_idx']}" if "sample_idx" in results else "a sample"
    return f"clip {results['clip_id']!r} ({place})" if "clip_id" in results else place


def _reason(error: Exception, results: object) -> str:
    """What went wrong, in words also for errors whose text is none: a bare key, or nothing."""
    key = error.args[0] if isinstance(error, KeyError) and error.args else None
    if isinstance(key, str) and isinstance(results, dict) and key not in results:
        return f"it needs {key!r}, and the results hold only {sorted(map(str, results))}"
    return repr(error) if isinstance(error, KeyError) else str(error) or type(error).__name__


def _step(place: int, given: object) -> Callable:
    if isinstance(given, dict) and (isinstance(given.get("type"), str) or callable(given.get("type"))):
        return _build(given)
    if isinstance(given, dict) or not callable(given):
        raise ConfigError(
            f"pipeline[{place}] is {given!r}; expected a callable, or a dict with a transform's name as 'type'"
        )
    return given


def _build(cfg: dict) -> Callable:
    """Build a step by karsl's registry whatever the default scope is; other scopes' names go MMEngine's way."""
    name = cfg.get("type")
    if isinstance(name, str) and "_scope_" not in cfg:
        found = TRANSFORMS.get(name)
        short = name.removeprefix("karsl.")
        if found is None and "." not in short:
            known = [*TRANSFORMS.module_dict, *ROOT_TRANSFORMS.module_dict]
            hint = did_you_mean(short, known, f"known: {', '.join(sorted(known))};")
            raise ConfigError(f"no transform {name!r}{hint} Register your own with karsl.registry.TRANSFORMS")
        cfg = {**cfg, "type": found or name}
    try:
        return TRANSFORMS.build(cfg)
    except TypeError as error:
        takes = f"; it takes {', '.join(inspect.signature(cfg['type']).parameters)}" if callable(cfg.get("type")) else ""
        raise ConfigError(f"pipeline step {name!r}: {error}{takes}") from error


@contextmanager
def _seeded_globals(seed: int) -> Iterator[None]:
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch.random.default_generator.manual_seed(seed >> 1)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
