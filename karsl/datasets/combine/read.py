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
    """

    steps: tuple[Callable, ...]
    pipeline: Pipeline
    batch: Any


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
                key = id(segment.pipeline), segment.skeleton, segment.frames.layout
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
            batch = _batch_pipeline(pipeline.transforms)
            if batch is not None:  # the equal one of another dataset, so that its clips go through the same pass
                known = (chain.batch for chain in self._chains.values() if chain.batch is not None)
                batch = next((other for other in known if other.same_as(batch)), batch)
            self._chains[ids] = _Chain(steps, pipeline, batch)
        return self._chains[ids]

    def _segment(self, clips: ResolvedClips, indices: np.ndarray, rng_keys: np.ndarray) -> Any:
        """Return clips of one dataset as a part of a batch, or None; labels and indices are those of the outermost one."""
        pipeline = self._chain(clips).batch if hasattr(clips.dataset, "batch_segment") else None
        if pipeline is None:
            return None
        segment = clips.dataset.batch_segment(clips.indices, rng_keys=rng_keys[clips.rows], rows=clips.rows)
        if segment is not None:  # set before anything is computed from them
            segment.pipeline, segment.sample_idx = pipeline, indices[clips.rows]
            segment.labels = None if segment.labels is None else relabel_all(segment.labels, clips.steps)
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


def _batch_pipeline(transforms: Sequence[Callable]) -> Any:
    """Return the transforms for a whole batch; None without numba, or where one of them works on single samples."""
    batching = compiled()
    if batching is None:
        return None
    steps = [step for step in transforms if not isinstance(step, MapLabels)]  # done by `relabel_all`
    pipeline = batching.BatchPipeline.from_transforms(steps)
    return None if pipeline is None or pipeline.pack is None else pipeline


@cache
def _accepts_key(cls: type) -> bool:
    """Return True if `get_sample` makes what `dataset[i]` makes: not if a subclass overrides only the latter."""
    if not issubclass(cls, KeypointDataset):
        return hasattr(cls, "get_sample")
    overridden = cls.get_sample is not KeypointDataset.get_sample
    return overridden or all(getattr(cls, n) is getattr(KeypointDataset, n) for n in ("__getitem__", "prepare_data"))
