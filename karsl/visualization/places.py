"""Where a clip lies below wrappers and combinators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from karsl.errors import ConfigError
from karsl.visualization.views import SampleView


@dataclass(frozen=True)
class ClipPlace:
    """A clip inside a dataset that may lie below wrappers.

    Attributes:
        dataset: The innermost dataset, which has `stages`.
        index: Of the clip in it.
        record: Its `get_data_info`.
        metainfo: The dataset's.
    """

    dataset: Any
    index: int
    record: Mapping[str, Any]
    metainfo: Mapping[str, Any] = field(default_factory=dict)


def find_clip(dataset: Any, index: int, *, views: dict[int, Any] | None = None) -> tuple[Any, int]:
    """Follow an index through wrappers to the dataset that reads the clip.

    Args:
        dataset: Anything with `stages`; MMEngine's ConcatDataset, RepeatDataset or ClassBalancedDataset, torch's Subset or
            ConcatDataset around it; or a dataset whose samples hold keypoints.
        index: In [-n, n).
        views: Views that earlier calls made of datasets without `stages`, by `id`; pass one dict to all calls.

    Returns:
        The innermost dataset and the index in it.

    Raises:
        ConfigError: The samples hold no keypoints, or the index is outside.
    """
    if not -len(dataset) <= index < len(dataset):
        raise ConfigError(f"index {index} is outside a dataset of {len(dataset)} clips")
    index += len(dataset) if index < 0 else 0
    while not hasattr(dataset, "stages"):
        step = _step_inside(dataset, int(index))
        if step is None:
            return _sample_view(dataset, {} if views is None else views), int(index)
        dataset, index = step
    return dataset, int(index)


def _step_inside(dataset: Any, index: int) -> tuple[Any, int] | None:
    if hasattr(dataset, "_get_ori_dataset_idx"):  # MMEngine's wrappers
        found = dataset._get_ori_dataset_idx(index)
        part, inner = found if isinstance(found, tuple) else (None, found)
        return dataset.dataset if part is None else dataset.datasets[part], inner
    if hasattr(dataset, "indices") and hasattr(dataset, "dataset"):  # torch's Subset
        return dataset.dataset, int(dataset.indices[index])
    if hasattr(dataset, "cumulative_sizes") and hasattr(dataset, "datasets"):  # torch's ConcatDataset
        part = next(k for k, end in enumerate(dataset.cumulative_sizes) if index < end)
        return dataset.datasets[part], index - (dataset.cumulative_sizes[part - 1] if part else 0)
    return None


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
