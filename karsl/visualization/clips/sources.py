"""Clip-by-clip access to any dataset, source or stream.

A dataset can be browsed if it has `stages(index)`, `get_data_info(index)` and `metainfo`. The classes here add these to
sources of files, third-party datasets and streams. `find_clips` resolves indices through dataset wrappers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset

from karsl.datasets.transforms.labels import MapLabels, relabel
from karsl.datasets.tree import resolve_leaves, resolve_one
from karsl.errors import ConfigError, pluralize
from karsl.io.clip import split_score
from karsl.skeletons import Skeleton, get_skeleton, skeleton_names

Stages = list[tuple[str, Any]]


class SourceClips:
    """Clips of a `ClipSource`: a folder or file of any format, without a pipeline.

    Args:
        source: Source with `records`, `metainfo`, `skeleton` and `read(record)`.

    Example:
        >>> from types import SimpleNamespace
        >>> one = {"clip_id": "a", "num_frames": 2}
        >>> dot = get_skeleton({"name": "dot", "parts": [("pose", ["nose"])]})
        >>> read = lambda record: np.ones((2, 1, 4), np.float32)
        >>> clips = SourceClips(SimpleNamespace(records=[one], metainfo={}, skeleton=dot, read=read))
        >>> [name for name, _ in clips.stages(0)], clips.stages(0)[1][1]["keypoint"].shape
        (['record', 'LoadKeypoints'], (2, 1, 3))
    """

    def __init__(self, source: Any) -> None:
        self.source, self.metainfo = source, source.metainfo
        self.skipped_problems = tuple(getattr(source, "problems", ()))

    def __len__(self) -> int:
        return len(self.source.records)

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a copy of a record."""
        return {**self.source.records[index], "sample_idx": index}

    def stages(self, index: int) -> Stages:
        """Return the record and the loaded clip."""
        record = self.get_data_info(index)
        keypoint, score = split_score(self.source.read(self.source.records[index]))
        loaded = {"keypoint": keypoint, "keypoint_score": score, "skeleton": self.source.skeleton}
        return [("record", record), ("LoadKeypoints", {**record, **loaded, "total_frames": len(score)})]


class SampleClips:
    """Samples of a third-party dataset or a stream, converted back to results that can be drawn.

    Args:
        samples: Samples by index: results with `keypoint`, or packed ones with `inputs` and `keypoint_mask`.
        metainfo: Metainfo for glosses and the skeleton.
        skeleton: Skeleton of the points. None uses that of the sample or `metainfo`, or finds it by the keypoint count.

    Example:
        >>> sample = {"inputs": np.ones((2, 184, 2)), "keypoint_mask": np.ones((2, 184), bool), "label": 0}
        >>> clips = SampleClips([sample], {"classes": ("hello",)})
        >>> clips.stages(0)[0][1]["skeleton"].name, clips.get_data_info(0)["num_frames"]
        ('karsl_184', 2)
    """

    def __init__(self, samples: Any, metainfo: Mapping[str, Any], skeleton: Skeleton | None = None) -> None:
        self.samples, self.metainfo, self.skeleton = samples, metainfo, skeleton

    def __len__(self) -> int:
        return len(self.samples)

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return the sample without its arrays."""
        results = self._results(index)
        return {key: value for key, value in results.items() if not isinstance(value, (np.ndarray, Skeleton))}

    def stages(self, index: int) -> Stages:
        """Return the sample as the model receives it."""
        return [("sample", self._results(index))]

    def _results(self, index: int) -> dict[str, Any]:
        sample = self.samples[index]
        if not isinstance(sample, Mapping) or not ({"keypoint", "inputs"} & set(sample)):
            keys = sorted(map(str, sample)) if isinstance(sample, Mapping) else type(sample).__name__
            raise ConfigError(f"sample {index} has neither 'keypoint' nor 'inputs' but {keys}; it cannot be drawn")
        packed = ("inputs", "keypoint_mask", "data_samples")
        results = {key: _to_plain(value) for key, value in sample.items() if key not in packed}
        points = np.asarray(sample["keypoint"] if "keypoint" in sample else sample["inputs"], dtype=np.float32)
        if "keypoint_mask" in sample and "keypoint" not in sample:
            results["keypoint_score"] = np.asarray(sample["keypoint_mask"], dtype=np.float32)
        while points.ndim > 3 and len(points):  # clips or persons, as in mmaction2: the first is shown
            points = points[0]
            if "keypoint_score" in results:
                results["keypoint_score"] = results["keypoint_score"][0]
        skeleton = sample.get("skeleton") or self.skeleton or _skeleton_of_sample(points, self.metainfo)
        results |= {"keypoint": points, "skeleton": skeleton, "num_frames": len(points)}
        return {"clip_id": f"sample {index}", "sample_idx": index, **results}


class StreamClips:
    """Clips of a StreamDataset. The shard of a remote clip is downloaded when the clip is accessed.

    Args:
        stream: Stream with `dataset`, and `batch(indices)` that downloads their shards.
    """

    def __init__(self, stream: Any) -> None:
        self.stream, self.metainfo = stream, stream.metainfo

    def __len__(self) -> int:
        return len(self.stream.dataset)

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a copy of a record."""
        return self.stream.dataset.get_data_info(index)

    def set_epoch(self, epoch: int, seed: int | None = None) -> None:
        """Select the random numbers of an epoch."""
        self.stream.dataset.set_epoch(epoch, seed=seed)

    def stages(self, index: int) -> Stages:
        """Return the results after each transform."""
        if getattr(self.stream, "is_remote", False):
            self.stream.batch(np.array([index]))
        return self.stream.dataset.stages(index)


def as_clips(dataset: Any, count: int = 0) -> Any:
    """Return a map-style dataset unchanged, and a stream or other iterable as clips with indices.

    Samples of a third-party iterable are read at once and stay in memory, since it may not support a second iteration.

    Args:
        dataset: Dataset of any kind.
        count: Number of samples to read from a third-party iterable; 0 is all.
    """
    is_map_style = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
    if is_map_style and not isinstance(dataset, IterableDataset):
        return dataset
    if hasattr(dataset, "batch") and hasattr(getattr(dataset, "dataset", None), "stages"):
        return StreamClips(dataset)
    metainfo = getattr(dataset, "metainfo", None) or {}
    return SampleClips(list(islice(dataset, count or None)), metainfo, getattr(dataset, "output_skeleton", None))


@dataclass(frozen=True, slots=True)
class ResolvedClip:
    """A clip in the dataset that reads it.

    Attributes:
        dataset: Innermost dataset, which has `stages`.
        index: Index of the clip in it.
        steps: Transforms of the wrappers above, innermost first.
    """

    dataset: Any
    index: int
    steps: tuple[Callable, ...] = ()


@dataclass(frozen=True)
class ClipRef:
    """Reference to a clip, resolved through dataset wrappers.

    Attributes:
        dataset: Innermost dataset, which has `stages`.
        index: Index of the clip in it.
        record: Its `get_data_info`, with the label that wrappers assign.
        metainfo: Metainfo of the dataset, with glosses by that label.
        steps: Transforms of the wrappers above, innermost first.
    """

    dataset: Any
    index: int
    record: Mapping[str, Any]
    metainfo: Mapping[str, Any]
    steps: tuple[Callable, ...]


def find_clips(dataset: Any, indices: Sequence[int] | range) -> Iterator[tuple[int, ResolvedClip]]:
    """Resolve indices through wrappers; yield each index in [0, n), and the clip in the dataset that reads it.

    Args:
        dataset: Dataset with `stages`; a wrapper of karsl, MMEngine (ConcatDataset, RepeatDataset, ClassBalancedDataset) or
            torch (Subset, ConcatDataset) around it; or a dataset whose samples have keypoints.
        indices: Indices in [-n, n).

    Raises:
        ConfigError: If the samples have no keypoints, or an index is out of range.
    """
    length = len(dataset)
    outer = np.asarray(indices, dtype=np.int64).reshape(-1)
    invalid = outer[(outer < -length) | (outer >= length)]
    if len(invalid):
        raise ConfigError(f"index {invalid[0]} is outside a dataset of {pluralize(length, 'clip')}")
    outer = np.where(outer < 0, outer + length, outer)
    if hasattr(dataset, "stages"):
        yield from ((index, ResolvedClip(dataset, index)) for index in outer.tolist())
        return
    resolved: list[ResolvedClip | None] = [None] * len(outer)
    fallback = partial(_sample_clips, samples={})
    for clips in resolve_leaves(dataset, outer):
        for position, index in zip(clips.rows.tolist(), clips.indices.tolist(), strict=True):
            resolved[position] = ResolvedClip(*resolve_one(clips.dataset, index, fallback), clips.steps)
    yield from ((index, clip) for index, clip in zip(outer.tolist(), resolved, strict=True) if clip is not None)


def metainfo_above(inner: Any, outer: Any, steps: Sequence[Callable]) -> Mapping[str, Any]:
    """Return the metainfo of a dataset with glosses by the labels that clips have after `steps`.

    A union of corpora has no Arabic glosses if some of its classes have none; those of the inner dataset are added.
    """
    metainfo = dict(inner.metainfo)
    if not any(isinstance(step, MapLabels) for step in steps):
        return metainfo
    classes = tuple((getattr(outer, "metainfo", None) or {}).get("classes") or ())
    arabic = [""] * len(classes)
    for label, gloss in enumerate(metainfo.get("classes_ar") or ()):
        outer_label = relabel({"label": label}, steps)["label"]
        if 0 <= outer_label < len(arabic):
            arabic[outer_label] = gloss
    return {**metainfo, "classes": classes, "classes_ar": tuple(arabic)}


def guess_skeleton(num_keypoints: set[int], given: Any = None) -> Skeleton | None:
    """Return the one skeleton with a number of keypoints, or None if there is none or more than one.

    Args:
        num_keypoints: Numbers of keypoints of all clips; more than one matches no skeleton.
        given: Skeleton, or its name or description, to check. None searches the catalog.
    """
    names = [given] if given is not None else skeleton_names()
    matches = [s for s in map(get_skeleton, names) if num_keypoints == {s.num_keypoints}]
    return matches[0] if len(matches) == 1 else None


def _sample_clips(dataset: Any, samples: dict[int, SampleClips]) -> SampleClips:
    """Return a dataset as samples; one object per dataset."""
    clips = samples.get(id(dataset))
    if clips is None:
        skeleton = getattr(dataset, "output_skeleton", None)
        clips = samples[id(dataset)] = SampleClips(dataset, getattr(dataset, "metainfo", None) or {}, skeleton)
        try:
            clips.get_data_info(0)
        except ConfigError as error:
            name = type(dataset).__name__
            raise ConfigError(f"{name} is neither a KeypointDataset nor a wrapper around one: {error}") from error
    return clips


def _to_plain(value: Any) -> Any:
    """Convert tensors to arrays, and arrays of one number to that number."""
    array = np.asarray(value) if hasattr(value, "__array__") and not isinstance(value, np.generic) else value
    if isinstance(array, (np.ndarray, np.generic)) and array.ndim == 0:
        return array.item()
    return array


def _skeleton_of_sample(points: np.ndarray, metainfo: Mapping[str, Any]) -> Skeleton:
    if points.ndim != 3:
        raise ConfigError(f"a sample has shape {points.shape}; expected (frames, keypoints, coordinates)")
    skeleton = guess_skeleton({points.shape[1]}, metainfo.get("skeleton") or None)
    if skeleton is None:
        raise ConfigError(
            f"samples of {points.shape[1]} keypoints have no known skeleton; give the dataset metainfo=dict(skeleton=...), "
            f"one of {', '.join(skeleton_names())}"
        )
    return skeleton
