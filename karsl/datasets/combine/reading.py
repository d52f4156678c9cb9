"""Samples, batches, records and columns of a tree of datasets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from karsl.datasets.combine.labels import relabelled_all
from karsl.datasets.combine.leaves import LeafClips, leaf_clips, leaves_of
from karsl.datasets.keypoint_dataset import KeypointDataset
from karsl.datasets.pipeline import Pipeline, output_skeleton
from karsl.datasets.rng import CounterRNG, hash_name
from karsl.errors import KarslError, TransformError, with_context
from karsl.skeletons import Skeleton

if TYPE_CHECKING:
    from karsl.datasets.combine.combinator import Combinator


class Reader:
    """Reads through a combinator; made anew in each process.

    Args:
        dataset: The outermost one.
    """

    def __init__(self, dataset: Combinator) -> None:
        self._dataset = dataset
        self._chains: dict[tuple[int, ...], tuple[tuple[Callable, ...], Pipeline]] = {}
        self._fused: dict[int, Any] = {}
        self._codes: dict[int, Any] = {}

    def one(self, place: int, key: np.uint64) -> Any:
        """The sample at a place; in training, where a step gives None or `on_error='skip'`, that of another place."""
        for tried in count():
            (clips,) = leaf_clips(self._dataset, np.array([place]))
            leaf = clips.dataset
            refetches = isinstance(leaf, KeypointDataset) and not leaf.test_mode
            try:
                sample = self._make(clips, place, key)
                reason = f"{clips.path}: a step gave None for sample {place}, clip {int(clips.places[0])}"
            except TransformError as error:
                if not (refetches and leaf.on_error == "skip"):
                    raise
                sample, reason = None, str(error)
            if sample is not None:
                return sample
            if tried >= (leaf.max_refetch if refetches else 0):
                raise TransformError(f"{reason}; leave such clips out with FilterDataset")
            self._dataset.skips.add(place, reason)
            place = self._another(key, tried)

    def _make(self, clips: LeafClips, place: int, key: np.uint64) -> Any:
        try:
            return self._finish(clips, self._raw(clips, key), place, key)
        except KarslError as error:
            raise with_context(error, clips.path) from error

    def _another(self, key: np.uint64, attempt: int) -> int:
        draw = CounterRNG(key, transform_id=hash_name(f"another {attempt}"))
        return int(draw.integers("place", len(self._dataset))[0])

    def many(self, places: np.ndarray, keys: np.ndarray) -> Sequence[Any]:
        """Samples at some places: a batch that makes itself in one pass, or, without numba, a list."""
        batching = fused_batching()
        if batching is None or not len(places):
            return [self.one(p, k) for p, k in zip(places.tolist(), keys, strict=True)]
        return batching.combined_batch(self, places, keys)

    def clips(self, places: np.ndarray) -> list[LeafClips]:
        """Where places come from."""
        return leaf_clips(self._dataset, places)

    def chain(self, clips: LeafClips) -> Pipeline:
        """The steps of the dataset that reads and of all combinators above it as one pipeline, so that no two draw alike."""
        steps = (*_own_steps(clips.dataset), *clips.steps)
        name = tuple(map(id, steps))
        if name not in self._chains:
            self._chains[name] = steps, Pipeline(steps)  # the steps too, so that no other object gets their ids
        return self._chains[name][1]

    def fused_steps(self, clips: LeafClips) -> Any:
        """The same, split for a batch; None where samples must be made one by one."""
        chain, batching = self.chain(clips), fused_batching()
        if id(chain) not in self._fused:
            self._fused[id(chain)] = None if batching is None else batching.fused_steps(chain.transforms)
        return self._fused[id(chain)]

    def steps_code(self, clips: LeafClips) -> Any:
        """Equal for datasets whose clips can go through one pass."""
        chain, batching = self.chain(clips), fused_batching()
        if id(chain) not in self._codes:
            self._codes[id(chain)] = None if batching is None else batching.steps_code(self.fused_steps(clips))
        return self._codes[id(chain)]

    def _raw(self, clips: LeafClips, key: np.uint64) -> Any:
        dataset, place = clips.dataset, int(clips.places[0])
        takes_keys = _takes_keys(type(dataset))  # type: ignore[arg-type]  # classes hash
        return dataset.get_sample(place, rng_key=key) if takes_keys else dataset[place]

    def _finish(self, clips: LeafClips, sample: Any, place: int, key: np.uint64) -> Any:
        if not isinstance(sample, dict):
            for step in clips.steps:
                sample = step(sample)
            return sample
        if "sample_idx" in sample:
            sample = {**sample, "sample_idx": place}
        if not clips.steps:
            return sample
        keyed = "sample_key" in sample
        steps = self.chain(clips)
        out = steps({**sample, "sample_key": key}, first=len(_own_steps(clips.dataset)))
        if out is None or keyed or "sample_key" not in out:
            return out
        return {name: value for name, value in out.items() if name != "sample_key"}

    def column(self, name: str) -> np.ndarray:
        """One number of every record."""
        dataset = self._dataset
        parts = leaf_clips(dataset, np.arange(len(dataset)))
        out: np.ndarray | None = None
        for part in parts:
            values = _column(part, name)
            if name == "label":
                values = relabelled_all(values, part.steps)
            out = np.empty(len(dataset), values.dtype) if out is None else out
            out[part.at] = values
        return np.zeros(0, np.int64) if out is None else out

    def output_skeletons(self) -> dict[str, Skeleton]:
        """By path of the dataset that reads."""
        found = {}
        for path, leaf, steps in leaves_of(self._dataset):
            skeleton = getattr(leaf, "output_skeleton", None)
            if skeleton is not None:
                try:
                    for step in steps:
                        skeleton = output_skeleton(step, skeleton)
                except KarslError as error:
                    raise with_context(error, path) from error
                found[path] = skeleton
        return found


def _column(clips: LeafClips, name: str) -> np.ndarray:
    """One number of each record, read one by one where the dataset keeps none beside them."""
    dataset = clips.dataset
    if hasattr(dataset, "column") and getattr(dataset, "serialize_data", True):
        return dataset.column(name)[clips.places]
    try:
        return np.array([dataset.get_data_info(place)[name] for place in clips.places.tolist()])
    except (AttributeError, KeyError) as error:
        raise KeyError(f"no column {name!r}: {clips.path} has no records with it") from error


def _own_steps(dataset: Any) -> Sequence[Callable]:
    pipeline = getattr(dataset, "pipeline", None)
    return pipeline.transforms if type(pipeline) is Pipeline else ()


@cache
def _takes_keys(kind: type) -> bool:
    """Whether `sample` makes what `dataset[i]` makes: not where a subclass changed only the latter."""
    if not issubclass(kind, KeypointDataset):
        return hasattr(kind, "get_sample")
    own = kind.get_sample is not KeypointDataset.get_sample
    return own or all(getattr(kind, n) is getattr(KeypointDataset, n) for n in ("__getitem__", "prepare_data"))


@cache
def fused_batching() -> ModuleType | None:
    """The module of combined batches, or None without numba."""
    return None if find_spec("numba") is None else import_module("karsl.datasets.combine.batch")
