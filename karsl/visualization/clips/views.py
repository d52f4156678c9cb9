"""Datasets that can be looked at clip by clip: each gives `stages(index)`, `get_data_info(index)` and `metainfo`.

Ours have these. A source of files, a dataset of somebody else, and a stream get them here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset

from karsl.errors import ConfigError
from karsl.io.clip import split_score
from karsl.skeletons import Skeleton, get_skeleton, skeleton_names

Stages = list[tuple[str, Any]]


class SourceView:
    """Clips of a `ClipSource`: a folder or a file of any form, with no pipeline.

    Args:
        source: Has `records`, `metainfo`, `skeleton` and `read(record)`.

    Example:
        >>> from types import SimpleNamespace
        >>> one = {"clip_id": "a", "num_frames": 2}
        >>> dot = get_skeleton({"name": "dot", "parts": [("pose", ["nose"])]})
        >>> read = lambda record: np.ones((2, 1, 4), np.float32)
        >>> view = SourceView(SimpleNamespace(records=[one], metainfo={}, skeleton=dot, read=read))
        >>> [name for name, _ in view.stages(0)], view.stages(0)[1][1]["keypoint"].shape
        (['record', 'LoadKeypoints'], (2, 1, 3))
    """

    def __init__(self, source: Any) -> None:
        self.source, self.metainfo = source, source.metainfo

    def __len__(self) -> int:
        return len(self.source.records)

    def get_data_info(self, index: int) -> dict[str, Any]:
        """A copy of a record."""
        return {**self.source.records[index], "sample_idx": index}

    def stages(self, index: int) -> Stages:
        """The record and the clip."""
        record = self.get_data_info(index)
        keypoint, score = split_score(self.source.read(self.source.records[index]))
        loaded = {"keypoint": keypoint, "keypoint_score": score, "skeleton": self.source.skeleton}
        return [("record", record), ("LoadKeypoints", {**record, **loaded, "total_frames": len(score)})]


class SampleView:
    """Finished samples, of a dataset that is not ours or of a stream, turned back into what can be drawn.

    Args:
        samples: Has samples by number: results with `keypoint`, or packed ones with `inputs` and `keypoint_mask`.
        metainfo: For glosses and the skeleton.
        skeleton: Of the points; None looks at the sample, at metainfo, and for the skeleton of as many keypoints.

    Example:
        >>> sample = {"inputs": np.ones((2, 184, 2)), "keypoint_mask": np.ones((2, 184), bool), "label": 0}
        >>> view = SampleView([sample], {"classes": ("hello",)})
        >>> view.stages(0)[0][1]["skeleton"].name, view.get_data_info(0)["num_frames"]
        ('karsl_184', 2)
    """

    def __init__(self, samples: Any, metainfo: Mapping[str, Any], skeleton: Skeleton | None = None) -> None:
        self.samples, self.metainfo, self.skeleton = samples, metainfo, skeleton

    def __len__(self) -> int:
        return len(self.samples)

    def get_data_info(self, index: int) -> dict[str, Any]:
        """What is known of a clip without its points."""
        results = self._results(index)
        return {key: value for key, value in results.items() if not isinstance(value, (np.ndarray, Skeleton))}

    def stages(self, index: int) -> Stages:
        """The sample as it reaches the model."""
        return [("sample", self._results(index))]

    def _results(self, index: int) -> dict[str, Any]:
        sample = self.samples[index]
        if not isinstance(sample, Mapping) or not ({"keypoint", "inputs"} & set(sample)):
            keys = sorted(map(str, sample)) if isinstance(sample, Mapping) else type(sample).__name__
            raise ConfigError(f"sample {index} holds neither 'keypoint' nor 'inputs' but {keys}; it cannot be drawn")
        plain = {
            key: _plain(value) for key, value in sample.items() if key not in ("inputs", "keypoint_mask", "data_samples")
        }
        points = np.asarray(sample["keypoint"] if "keypoint" in sample else sample["inputs"], dtype=np.float32)
        if "keypoint_mask" in sample and "keypoint" not in sample:
            plain["keypoint_score"] = np.asarray(sample["keypoint_mask"], dtype=np.float32)
        skeleton = sample.get("skeleton") or self.skeleton or _skeleton_of(points, self.metainfo)
        return {
            "clip_id": f"sample {index}", "sample_idx": index, **plain, "keypoint": points, "skeleton": skeleton,
            "num_frames": len(points),
        }  # fmt: skip


class StreamView:
    """The clips of a StreamDataset, each where it lies; one that lies elsewhere is brought when it is looked at.

    Args:
        stream: Has `dataset`, and `batch(places)` that brings their shards.
    """

    def __init__(self, stream: Any) -> None:
        self.stream, self.metainfo = stream, stream.metainfo

    def __len__(self) -> int:
        return len(self.stream.dataset)

    def get_data_info(self, index: int) -> dict[str, Any]:
        """A copy of a record."""
        return self.stream.dataset.get_data_info(index)

    def set_epoch(self, epoch: int, seed: int | None = None) -> None:
        """Go to other draws."""
        self.stream.dataset.set_epoch(epoch, seed=seed)

    def stages(self, index: int) -> Stages:
        """The results after each step."""
        if getattr(self.stream, "is_remote", False):
            self.stream.batch(np.array([index]))
        return self.stream.dataset.stages(index)


class HeadView(SampleView):
    """The first samples of any iterable. What it gives is kept, for it cannot be asked again.

    Args:
        samples: An iterable of samples.
        count: How many to take; 0 is all.
    """

    def __init__(self, samples: Iterable[Any], count: int) -> None:
        about = getattr(samples, "metainfo", None) or {}
        super().__init__(list(islice(samples, count or None)), about, getattr(samples, "output_skeleton", None))


def browsable(dataset: Any, count: int = 0) -> Any:
    """A dataset as one that has places: a stream, or any other iterable, becomes a view.

    Args:
        dataset: Of any kind.
        count: Samples to take of an iterable that is not ours; 0 is all.
    """
    has_places = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
    if has_places and not isinstance(dataset, IterableDataset):
        return dataset
    if hasattr(dataset, "batch") and hasattr(getattr(dataset, "dataset", None), "stages"):
        return StreamView(dataset)
    return HeadView(dataset, count)


def _plain(value: Any) -> Any:
    """Tensors as arrays, one number as a number."""
    array = np.asarray(value) if hasattr(value, "__array__") and not isinstance(value, np.generic) else value
    if isinstance(array, (np.ndarray, np.generic)) and array.ndim == 0:
        return array.item()
    return array


def _skeleton_of(points: np.ndarray, metainfo: Mapping[str, Any]) -> Skeleton:
    if points.ndim != 3:
        raise ConfigError(f"a sample of shape {points.shape} is no clip; (frames, keypoints, coordinates) are expected")
    count = points.shape[1]
    names: Sequence[Any] = [metainfo["skeleton"]] if metainfo.get("skeleton") else skeleton_names()
    found = [s for s in map(get_skeleton, names) if s.num_keypoints == count]
    if len(found) != 1:
        raise ConfigError(
            f"samples of {count} keypoints: the skeleton is not known; give the dataset metainfo=dict(skeleton=...), one of "
            f"{', '.join(skeleton_names())}"
        )
    return found[0]
