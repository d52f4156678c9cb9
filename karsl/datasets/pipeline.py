"""The pipeline of a dataset: transforms built from the registry, with errors that name clip and transform."""

from __future__ import annotations

import copy
import inspect
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS

from karsl.datasets.rng import hash_name, splitmix64
from karsl.datasets.transforms.base import KeypointTransform
from karsl.errors import ConfigError, TransformError, did_you_mean
from karsl.registry import TRANSFORMS
from karsl.skeletons import Skeleton


class Pipeline(Compose):
    """MMEngine's Compose with reproducible random numbers.

    KeypointTransforms draw from a counter-based generator. Any other transform may draw from `random`, `np.random` or
    `torch`: these are seeded for it by (seed, epoch, sample, position in the pipeline) and restored afterwards, so it also
    draws the same numbers in any worker, and others in each epoch.

    Args:
        transforms: Configs or callables, in order. None or empty is the identity.

    Raises:
        ConfigError: If no transform has that name or accepts those arguments, or one is neither a config nor callable.
    """

    def __init__(self, transforms: Sequence[dict | Callable] | None) -> None:
        if isinstance(transforms, (str, Mapping)):
            raise ConfigError(f"pipeline={transforms!r}; expected a list of transforms, [dict(type='LoadKeypoints'), ...]")
        super().__init__([_build_step(position, step) for position, step in enumerate(transforms or ())])
        self.rejected_by = ""
        """Name of the transform that returned None last."""
        seen: Counter[str] = Counter()
        for position, step in enumerate(self.transforms):
            if isinstance(step, KeypointTransform):
                name = step.rng_name
                seen[name] += 1
                transform_id = hash_name(f"{name}#{seen[name]}" if seen[name] > 1 else name)
                if step.transform_id != transform_id:  # a copy, since the object may be part of another pipeline too
                    self.transforms[position] = step = copy.copy(step)
                    step.transform_id = transform_id

    def __call__(self, results: dict, first: int = 0, stop: int | None = None) -> dict | None:
        """Apply the transforms from number `first` to before number `stop`; end at one that returns None."""
        last = deque(self.steps(results, first, stop), maxlen=1)
        return last[0][1] if last else results

    @contextmanager
    def preserve_globals(self) -> Iterator[None]:
        """Restore the states of `random`, `np.random` and `torch` once after many calls: NumPy's take 250 microseconds."""
        global _preserved
        if _preserved or all(isinstance(step, KeypointTransform) for step in self.transforms):
            yield
            return
        with _restored_globals():
            _preserved = True
            try:
                yield
            finally:
                _preserved = False

    def steps(self, results: dict, first: int = 0, stop: int | None = None) -> Iterator[tuple[str, dict | None]]:
        """Apply the transforms one by one, yielding the name of each and the results after it.

        Raises:
            TransformError: If a transform fails. The text names it and the clip.
        """
        initial, sample_key = results, results.get("sample_key")
        for position, step in enumerate(self.transforms[first:stop], first):
            try:
                if isinstance(step, KeypointTransform) or sample_key is None:
                    results = step(results)
                else:
                    with nullcontext() if _preserved else _restored_globals():
                        _seed_globals(splitmix64(int(sample_key) ^ _step_hash(position)))
                        results = step(results)
            except Exception as error:
                text = f"{step_name(step)} failed on {_clip_name(initial)}: {_describe_error(error, results)}"
                raise TransformError(text) from error
            if results is None:
                self.rejected_by = step_name(step)
            yield step_name(step), results
            if results is None:
                return

    def stages(self, results: dict) -> list[tuple[str, dict | None]]:
        """Return the results before and after each transform, to inspect a pipeline: `[("record", {...}), ...]`.

        Each is a copy, so a transform that edits in place does not change earlier stages.
        """
        stages: list[tuple[str, dict | None]] = [("record", _snapshot(results))]
        return stages + [(name, _snapshot(output)) for name, output in self.steps(results)]


def output_skeleton(pipeline: Callable, skeleton: Skeleton) -> Skeleton:
    """Return the skeleton after a pipeline. A transform without `output_skeleton` leaves it unchanged.

    Args:
        pipeline: A transform, or a chain of them in an attribute `transforms`.
        skeleton: Skeleton of the input.
    """
    for step in getattr(pipeline, "transforms", ()):
        skeleton = output_skeleton(step, skeleton)
    return pipeline.output_skeleton(skeleton) if hasattr(pipeline, "output_skeleton") else skeleton


def output_channels(pipeline: Callable, channels: int = 3) -> int:
    """Return C after a pipeline, as `output_skeleton` does for the skeleton. Clips are read with x, y, z."""
    for step in getattr(pipeline, "transforms", ()):
        channels = output_channels(step, channels)
    return pipeline.output_channels(channels) if hasattr(pipeline, "output_channels") else channels


def step_name(step: Callable) -> str:
    """Return the name of a transform for messages: its class, or the name of a function."""
    return getattr(step, "__name__", type(step).__name__)


def _clip_name(results: dict) -> str:
    name = f"sample {results['sample_idx']}" if "sample_idx" in results else "a sample"
    return f"clip {results['clip_id']!r} ({name})" if "clip_id" in results else name


def _describe_error(error: Exception, results: object) -> str:
    """Describe an error in words, also one whose text is empty or a bare key."""
    key = error.args[0] if isinstance(error, KeyError) and error.args else None
    if isinstance(key, str) and isinstance(results, dict) and key not in results:
        return f"it needs {key!r}, and the results have only {sorted(map(str, results))}"
    return repr(error) if isinstance(error, KeyError) else str(error) or type(error).__name__


def _build_step(position: int, step: object) -> Callable:
    if isinstance(step, dict) and (isinstance(step.get("type"), str) or callable(step.get("type"))):
        return _build_transform(step)
    if isinstance(step, dict) or not callable(step):
        raise ConfigError(
            f"pipeline[{position}] is {step!r}; expected a callable, or a dict with the name of a transform as 'type'"
        )
    return step


def _build_transform(cfg: dict) -> Callable:
    """Build a transform from karsl's registry, whatever the default scope is; names of other scopes as MMEngine does."""
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
        is_explained = "has no argument" in str(error) or not callable(cfg["type"])
        accepted = "" if is_explained else f"; it accepts {', '.join(inspect.signature(cfg['type']).parameters)}"
        raise ConfigError(f"pipeline step {name!r}: {error}{accepted}") from error


def _snapshot(results: Any) -> Any:
    """Copy results with their arrays; skeletons are immutable and stay the same objects."""
    if not isinstance(results, dict):
        return copy.deepcopy(results)
    return {key: value if isinstance(value, Skeleton) else copy.deepcopy(value) for key, value in results.items()}


_preserved = False  # True while someone else restores the states


def _seed_globals(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch.random.default_generator.manual_seed(seed >> 1)


@lru_cache(maxsize=64)
def _step_hash(position: int) -> int:
    return hash_name(f"step {position}")


@contextmanager
def _restored_globals() -> Iterator[None]:
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
