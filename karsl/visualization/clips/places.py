"""Where a clip lies below wrappers and combinators, and what they do to it on its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from karsl.datasets.transforms.labels import MapLabels, relabel
from karsl.datasets.tree import resolve_leaves
from karsl.errors import ConfigError
from karsl.visualization.clips.views import SampleView


class Found(NamedTuple):
    """A clip in the dataset that reads it.

    Attributes:
        dataset: Has `stages`.
        at: Index of the clip in it.
        steps: Of combinators above, the innermost first.
    """

    dataset: Any
    at: int
    steps: tuple[Callable, ...] = ()


@dataclass(frozen=True)
class ClipPlace:
    """A clip that may lie below wrappers and combinators.

    Attributes:
        dataset: The innermost dataset, which has `stages`.
        index: Of the clip in it.
        record: Its `get_data_info`, with the label that combinators give it.
        metainfo: Glosses by that label, and what else the dataset says.
        steps: Of combinators above, the innermost first.
    """

    dataset: Any
    index: int
    record: Mapping[str, Any]
    metainfo: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[Callable, ...] = ()


def find_clip(dataset: Any, index: int) -> tuple[Any, int]:
    """Follow an index through wrappers to the dataset that reads the clip.

    Args:
        dataset: Anything with `stages`; a combinator of ours or a LazyDataset; MMEngine's ConcatDataset, RepeatDataset or
            ClassBalancedDataset, torch's Subset or ConcatDataset around it; or a dataset whose samples hold keypoints.
        index: In [-n, n).

    Returns:
        The innermost dataset and the index in it.

    Raises:
        ConfigError: The samples hold no keypoints, or the index is outside.
    """
    ((_, found),) = find_clips(dataset, [index])
    return found.dataset, found.at


def find_clips(dataset: Any, indices: Sequence[int] | range) -> Iterator[tuple[int, Found]]:
    """The same for many: each index in [0, n), and its clip.

    Raises:
        ConfigError: As `find_clip`.
    """
    length = len(dataset)
    wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
    outside = wanted[(wanted < -length) | (wanted >= length)]
    if len(outside):
        raise ConfigError(f"index {outside[0]} is outside a dataset of {length} clips")
    wanted = np.where(wanted < 0, wanted + length, wanted)
    if hasattr(dataset, "stages"):
        yield from ((place, Found(dataset, place)) for place in wanted.tolist())
        return
    found: list[Found | None] = [None] * len(wanted)
    views: dict[int, Any] = {}
    for clips in resolve_leaves(dataset, wanted):
        for at, place in zip(clips.rows.tolist(), clips.indices.tolist(), strict=True):
            found[at] = Found(*_innermost(clips.dataset, place, views), clips.steps)
    yield from ((place, one) for place, one in zip(wanted.tolist(), found, strict=True) if one is not None)


def _innermost(dataset: Any, index: int, views: dict[int, Any]) -> tuple[Any, int]:
    """Through what only this index can be asked for: subclasses of wrappers, caches, and wrappers of one's own like them."""
    while not hasattr(dataset, "stages"):
        if hasattr(dataset, "_get_ori_dataset_idx"):
            inside = dataset._get_ori_dataset_idx(index)
            part, index = inside if isinstance(inside, tuple) else (None, inside)
            dataset = dataset.dataset if part is None else dataset.datasets[part]
        elif hasattr(dataset, "indices") and hasattr(dataset, "dataset"):
            dataset, index = dataset.dataset, int(dataset.indices[index])
        else:
            return _sample_view(dataset, views), int(index)
    return dataset, int(index)


def _sample_view(dataset: Any, views: dict[int, Any]) -> SampleView:
    view = views.get(id(dataset))
    if view is None:
        skeleton = getattr(dataset, "output_skeleton", None)
        view = views[id(dataset)] = SampleView(dataset, getattr(dataset, "metainfo", None) or {}, skeleton)
        try:
            view.get_data_info(0)
        except ConfigError as error:
            name = type(dataset).__name__
            raise ConfigError(f"{name} is neither a KeypointDataset nor a wrapper around one: {error}") from error
    return view


def metainfo_above(inner: Any, outer: Any, steps: Sequence[Callable]) -> Mapping[str, Any]:
    """Metainfo whose glosses go by the labels that clips have above `steps`.

    A mix of corpora keeps no Arabic glosses, since not all of its classes have one: those of this dataset's are put in.
    """
    own = dict(inner.metainfo)
    if not any(isinstance(step, MapLabels) for step in steps):
        return own
    classes = tuple((getattr(outer, "metainfo", None) or {}).get("classes") or ())
    arabic = [""] * len(classes)
    for label, gloss in enumerate(own.get("classes_ar") or ()):
        new = relabel({"label": label}, steps)["label"]
        if 0 <= new < len(arabic):
            arabic[new] = gloss
    return {**own, "classes": classes, "classes_ar": tuple(arabic)}
