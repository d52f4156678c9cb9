"""Read samples, batches and columns through a tree of datasets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

import numpy as np

from karsl.datasets.batching import compiled
from karsl.datasets.keypoint_dataset import KeypointDataset
from karsl.datasets.pipeline import Pipeline, output_skeleton
from karsl.datasets.refetch import another_index
from karsl.datasets.transforms.base import KeypointTransform
from karsl.datasets.transforms.labels import MapLabels, relabel_all
from karsl.datasets.tree import Node, ResolvedClips, leaf_datasets, resolve_leaves
from karsl.errors import KarslError, TransformError, with_context
from karsl.skeletons import Skeleton


@dataclass(frozen=True)
class _Chain:
    """Transforms of a dataset that reads and of the wrappers above it.

    Attributes:
        steps: The transforms as given, referenced so that no other objects get their ids.
        pipeline: The same as one pipeline, so that no two transforms draw the same random numbers.
        batch: The same for a whole batch; None where samples are made one by one.
        relabeling: The `MapLabels` that are not in `batch`.
    """

    steps: tuple[Callable, ...]
    pipeline: Pipeline
    batch: Any
    relabeling: Sequence[Callable]


class _ClipPipeline:
    """The pipeline of some clips in a batch: the transforms of the dataset that reads see its indices, those above see ours.

    Args:
        chain: All transforms.
        clips: Clips of one dataset.
        indices: int64 (N,), indices of the clips in the outermost dataset.
    """

    def __init__(self, chain: _Chain, clips: ResolvedClips, indices: np.ndarray) -> None:
        self.transforms = [chain.batch.load, *chain.batch.steps]
        self.preserve_globals = chain.pipeline.preserve_globals
        self._pipeline, self._dataset = chain.pipeline, clips.dataset
        self._num_own = len(_own_steps(clips.dataset))
        self._inner = dict(zip(indices.tolist(), clips.indices.tolist(), strict=True))

    def initial_results(self, index: int, rng_key: np.uint64) -> dict:
        """Return the input of the pipeline at an index of the outermost dataset."""
        return {**self._dataset.initial_results(self._inner[index], rng_key), "sample_idx": index}

    def __call__(self, results: dict, first: int, stop: int | None = None) -> dict | None:
        """Apply some of the transforms to one clip; None also if one of them changes `sample_idx`."""
        index = results["sample_idx"]
        if first < self._num_own:
            inner, end = self._inner[index], self._num_own if stop is None else min(stop, self._num_own)
            own = self._pipeline({**results, "sample_idx": inner}, first, end)
            if not isinstance(own, dict) or own.get("sample_idx") != inner:
                return None
            results, first = {**own, "sample_idx": index}, end
        return self._pipeline(results, first, stop)


class TreeReader:
    """Reads through a dataset wrapper; each process has its own.

    Args:
        dataset: The outermost dataset.
    """

    def __init__(self, dataset: Node) -> None:
        self._dataset: Any = dataset
        self._chains: dict[tuple[int, ...], _Chain] = {}

    def sample(self, index: int, rng_key: np.uint64) -> Any:
        """Return one sample.

        In training a clip for which a transform returns None is replaced by another one, as the dataset that reads it
        allows with `max_refetch`; with `on_error='skip'` so is one for which a transform fails.

        Raises:
            TransformError: If a transform fails, or no other clip may be tried.
        """
        for attempt in count():
            (clips,) = self._resolve(np.array([index]))
            leaf = clips.dataset
            refetches = isinstance(leaf, KeypointDataset) and not leaf.test_mode
            try:
                sample = self._make(clips, index, rng_key)
                if sample is not None:
                    return sample
                pipeline = self._chain(clips).pipeline if clips.steps else getattr(leaf, "pipeline", None)
                rejected_by = getattr(pipeline, "rejected_by", "") or "a transform"
                reason = f"{clips.path}: {rejected_by} returned None for sample {index}, clip {int(clips.indices[0])}"
            except TransformError as error:
                if not refetches or leaf.on_error != "skip":
                    raise
                reason, rejected_by = str(error), ""
            if attempt >= (leaf.max_refetch if refetches else 0):
                raise TransformError(f"{reason}; remove such clips with FilterDataset")
            self._dataset.skips.add(index, reason, rejected_by=rejected_by)
            index = another_index(rng_key, attempt, length=len(self._dataset))

    def batch(self, indices: np.ndarray, rng_keys: np.ndarray) -> Sequence[Any]:
        """Return samples as a batch that is made in one pass when it is first used; without numba, as a list.

        Args:
            indices: int64 (N,).
            rng_keys: uint64 (N,), random keys of the samples.
        """

        def make_samples() -> list[Any]:
            return [self.sample(index, key) for index, key in zip(indices.tolist(), rng_keys, strict=True)]

        batching = compiled()
        if batching is None or not len(indices):
            return make_samples()

        def make_segments() -> list[Any] | None:
            groups: dict[Any, list[Any]] = {}
            for clips in self._resolve(indices):
                segment = self._segment(clips, indices, rng_keys)
                if segment is None:
                    return None
                own = None if segment.results is None else id(segment)  # clips that were changed one by one stay as they are
                key = id(segment.pipeline), segment.skeleton, segment.frames.layout, own
                groups.setdefault(key, []).append(segment)
            return [batching.join_segments(group) for group in groups.values()]

        return batching.LazyBatch(len(indices), make_segments, make_samples)

    def column(self, name: str) -> np.ndarray:
        """Return one number per record, (n,).

        Raises:
            KeyError: If a dataset that reads has no such number.
        """
        length = len(self._dataset)
        out: np.ndarray | None = None
        for clips in self._resolve(np.arange(length)):
            values = _column(clips, name)
            if name == "label":
                values = relabel_all(values, clips.steps)
            out = np.empty(length, values.dtype) if out is None else out
            out[clips.rows] = values
        return np.zeros(0, np.int64) if out is None else out

    def output_skeletons(self) -> dict[str, Skeleton]:
        """Return the skeletons of samples by path of the dataset that reads; datasets without one are left out."""
        found = {}
        for path, leaf, steps in leaf_datasets(self._dataset, open_root=True):
            skeleton = getattr(leaf, "output_skeleton", None)
            if skeleton is not None:
                try:
                    for step in steps:
                        skeleton = output_skeleton(step, skeleton)
                except KarslError as error:
                    raise with_context(error, path) from error
                found[path] = skeleton
        return found

    def _resolve(self, indices: np.ndarray) -> list[ResolvedClips]:
        return resolve_leaves(self._dataset, indices, open_root=True)

    def _chain(self, clips: ResolvedClips) -> _Chain:
        steps = (*_own_steps(clips.dataset), *clips.steps)
        ids = tuple(map(id, steps))
        if ids not in self._chains:
            pipeline = Pipeline(steps)
            batch, relabeling = _batch_pipeline(pipeline.transforms)
            if batch is not None:  # the equal one of another dataset, so that its clips go through the same pass
                known = (chain.batch for chain in self._chains.values() if chain.batch is not None)
                batch = next((other for other in known if other.same_as(batch)), batch)
            self._chains[ids] = _Chain(steps, pipeline, batch, relabeling)
        return self._chains[ids]

    def _segment(self, clips: ResolvedClips, indices: np.ndarray, rng_keys: np.ndarray) -> Any:
        """Return clips of one dataset as a part of a batch, or None; labels and indices are those of the outermost one."""
        chain = self._chain(clips)
        if chain.batch is None or not hasattr(clips.dataset, "batch_segment"):
            return None
        segment = clips.dataset.batch_segment(clips.indices, rng_keys=rng_keys[clips.rows], rows=clips.rows)
        if segment is None:
            return None
        segment.pipeline, segment.sample_idx = chain.batch, indices[clips.rows]  # before anything is computed from them
        if chain.batch.then is not None:
            single = _ClipPipeline(chain, clips, segment.sample_idx)
            segment, _, results = compiled().join_singles(segment, single, single.initial_results)  # type: ignore[union-attr]
            if results is not None:
                return None
        segment.labels = None if segment.labels is None else relabel_all(segment.labels, chain.relabeling)
        return segment

    def _make(self, clips: ResolvedClips, index: int, rng_key: np.uint64) -> Any:
        dataset, inner = clips.dataset, int(clips.indices[0])
        accepts_key = _accepts_key(type(dataset))  # type: ignore[arg-type]  # classes hash
        try:
            sample = dataset.get_sample(inner, rng_key=rng_key) if accepts_key else dataset[inner]
            return self._apply_steps(clips, sample, index, rng_key)
        except KarslError as error:
            raise with_context(error, clips.path) from error

    def _apply_steps(self, clips: ResolvedClips, sample: Any, index: int, rng_key: np.uint64) -> Any:
        if not isinstance(sample, dict):
            for step in clips.steps:
                sample = step(sample)
            return sample
        if "sample_idx" in sample:
            sample = {**sample, "sample_idx": index}
        if not clips.steps:
            return sample
        had_key = "sample_key" in sample
        first = len(_own_steps(clips.dataset))
        out = self._chain(clips).pipeline({**sample, "sample_key": rng_key}, first=first)
        if out is None or had_key or "sample_key" not in out:
            return out
        return {name: value for name, value in out.items() if name != "sample_key"}


def _column(clips: ResolvedClips, name: str) -> np.ndarray:
    """Return one number per clip, read from the records where the dataset has no such column."""
    dataset = clips.dataset
    if hasattr(dataset, "column") and getattr(dataset, "serialize_data", True):
        return dataset.column(name)[clips.indices]
    try:
        return np.array([dataset.get_data_info(index)[name] for index in clips.indices.tolist()])
    except (AttributeError, KeyError) as error:
        raise KeyError(f"no column {name!r}: {clips.path} has no records with it") from error


def modifies(clips: ResolvedClips, key: str) -> bool:
    """Return True if a transform between record and sample may change a key; labels are mapped in records too."""
    if type(getattr(clips.dataset, "pipeline", None)) is not Pipeline:
        return True
    return any(_step_modifies(step, key) for step in (*_own_steps(clips.dataset), *clips.steps))


def _step_modifies(step: Callable, key: str) -> bool:
    if isinstance(step, MapLabels):
        return False
    return not isinstance(step, KeypointTransform) or step.modified_keys is None or key in step.modified_keys


def _own_steps(dataset: Any) -> Sequence[Callable]:
    pipeline = getattr(dataset, "pipeline", None)
    return pipeline.transforms if type(pipeline) is Pipeline else ()


def _batch_pipeline(transforms: Sequence[Callable]) -> tuple[Any, Sequence[Callable]]:
    """Return the transforms for a whole batch, and the `MapLabels` that are left out for `relabel_all`.

    These are the ones that no transform of one clip at a time follows, since it may read the label. None in place of the
    pipeline without numba, or if the last transform works on single samples.
    """
    batching = compiled()
    steps = [step for step in transforms if not isinstance(step, MapLabels)]
    pipeline = None if batching is None else batching.BatchPipeline.from_transforms(steps)
    if batching is None or pipeline is None or not pipeline.packs_together:
        return None, ()
    single = [step for step, is_together in zip(steps[1:], pipeline.together, strict=True) if not is_together]
    last = max((n for n, step in enumerate(transforms) if any(step is other for other in single)), default=0)
    relabeling = [step for step in transforms[last:] if isinstance(step, MapLabels)]
    if len(steps) + len(relabeling) < len(transforms):
        kept = [step for n, step in enumerate(transforms) if n < last or not isinstance(step, MapLabels)]
        pipeline = batching.BatchPipeline.from_transforms(kept)
    return pipeline, relabeling


@cache
def _accepts_key(cls: type) -> bool:
    """Return True if `get_sample` makes what `dataset[i]` makes: not if a subclass overrides only the latter."""
    if not issubclass(cls, KeypointDataset):
        return hasattr(cls, "get_sample")
    overridden = cls.get_sample is not KeypointDataset.get_sample
    return overridden or all(getattr(cls, n) is getattr(KeypointDataset, n) for n in ("__getitem__", "prepare_data"))
