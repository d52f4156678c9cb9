"""What a filter looks at: a record, and the sample as soon as it asks for more than the record has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from karsl.datasets.combine.combinator import Combinator
from karsl.datasets.combine.labels import SetLabels
from karsl.datasets.combine.leaves import LeafClips
from karsl.datasets.pipeline import Pipeline
from karsl.datasets.transforms.base import KeypointTransform

_OF_THE_CLIP = frozenset(("keypoint", "keypoint_score", "skeleton", "inputs", "keypoint_mask"))
_TIME = ("sampling", "temporal")  # modules of transforms that change the number of frames


class ClipView(Mapping):
    """One item of a dataset, read only as far as it is looked at.

    A key of the record is answered from the record, without reading the clip, as long as no step can have changed it: the
    transforms of karsl change keypoints and the number of frames, a callable of one's own may change anything.

    Args:
        dataset: Has the item.
        place: Of the item.
    """

    def __init__(self, dataset: Combinator, place: int) -> None:
        self._dataset, self._place = dataset, place
        self._whole: dict | None = None
        self._info: dict | None = None

    @property
    def loaded(self) -> bool:
        """Whether the sample was made."""
        return self._whole is not None

    def __getitem__(self, key: str) -> Any:
        if self._whole is None and key not in _OF_THE_CLIP:
            record = self._record()
            if key in record and not may_change(key, self._dataset.clip(self._place)):
                return record[key]
        return self._sample()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sample())

    def __len__(self) -> int:
        return len(self._sample())

    def _record(self) -> dict:
        if self._info is None:
            try:
                self._info = self._dataset.get_data_info(self._place)
            except AttributeError:  # a dataset of someone else's has no records
                self._info = {}
        return self._info

    def _sample(self) -> dict:
        if self._whole is None:
            sample = self._dataset.get_sample(self._place)
            self._whole = {**self._record(), **(sample if isinstance(sample, dict) else {"sample": sample})}
        return self._whole


def may_change(key: str, clips: LeafClips) -> bool:
    """Whether a step between record and item can have changed a key."""
    pipeline = getattr(clips.dataset, "pipeline", None)
    if type(pipeline) is not Pipeline:
        return True
    return any(_changes(step, key) for step in (*pipeline.transforms, *clips.steps))


def _changes(step: Callable, key: str) -> bool:
    if isinstance(step, SetLabels):
        return False  # get_data_info has done it
    module = type(step).__module__
    if not isinstance(step, KeypointTransform) or not module.startswith("karsl."):
        return True
    return key == "num_frames" and module.rpartition(".")[2] in _TIME
