"""Which clips of a dataset to look at, and their results along the pipeline, through any wrapper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from karsl.errors import ConfigError

SORTS = ("index", "sign", "length")


@dataclass(frozen=True)
class ClipPlace:
    """A clip inside a dataset of ours that may lie below wrappers.

    Attributes:
        dataset: The innermost dataset, which has `stages`.
        index: Of the clip in it.
        record: Its `get_data_info`.
    """

    dataset: Any
    index: int
    record: Mapping[str, Any]


@dataclass(frozen=True)
class ClipFilter:
    """What to keep; an empty tuple keeps everything.

    Attributes:
        signs: SignIDs, or parts of English or Arabic glosses.
        signers: Names.
        splits: Names.
    """

    signs: tuple[str, ...] = ()
    signers: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()

    def keeps(self, record: Mapping[str, Any], metainfo: Mapping[str, Any]) -> bool:
        """Whether a record passes."""
        plain = (("signer", self.signers), ("split", self.splits))
        if any(wanted and str(record.get(key)) not in wanted for key, wanted in plain):
            return False
        return not self.signs or any(_is_sign(word, record, metainfo) for word in self.signs)

    def __str__(self) -> str:
        parts = (("sign", self.signs), ("signer", self.signers), ("split", self.splits))
        return " and ".join(f"{name} {' or '.join(wanted)}" for name, wanted in parts if wanted)


def find_clip(dataset: Any, index: int) -> tuple[Any, int]:
    """Follow an index through wrappers to the dataset that reads the clip.

    Args:
        dataset: Ours, or MMEngine's ConcatDataset, RepeatDataset or ClassBalancedDataset, or torch's Subset around it.
        index: In [-n, n).

    Returns:
        The innermost dataset and the index in it.

    Raises:
        ConfigError: A dataset has no `stages` and is no wrapper that we know, or the index is outside.
    """
    if not -len(dataset) <= index < len(dataset):
        raise ConfigError(f"index {index} is outside a dataset of {len(dataset)} clips")
    index += len(dataset) if index < 0 else 0
    while not hasattr(dataset, "stages"):
        if hasattr(dataset, "_get_ori_dataset_idx"):  # MMEngine's wrappers
            found = dataset._get_ori_dataset_idx(index)
            part, index = found if isinstance(found, tuple) else (None, found)
            dataset = dataset.dataset if part is None else dataset.datasets[part]
        elif hasattr(dataset, "indices") and hasattr(dataset, "dataset"):  # torch's Subset
            dataset, index = dataset.dataset, int(dataset.indices[index])
        else:
            raise ConfigError(
                f"{type(dataset).__name__} is neither a KeypointDataset nor a wrapper around one, so it cannot be browsed"
            )
    return dataset, int(index)


def choose_clips(
    dataset: Any,
    *,
    count: int,
    indices: Sequence[int] = (),
    keep: ClipFilter | None = None,
    sort: str = "index",
    seed: int | None = None,
) -> list[ClipPlace]:
    """Choose clips to look at, each once, however often a wrapper repeats it.

    Args:
        dataset: As for `find_clip`.
        count: How many, at most; 0 is all.
        indices: Take exactly these instead, in this order.
        keep: What may be chosen.
        sort: `'index'`, `'sign'` or `'length'`: the order.
        seed: Choose at random; None spreads the choice evenly over the order.

    Raises:
        ConfigError: Nothing is left, an index is outside, or the dataset cannot be browsed.
    """
    if sort not in SORTS:
        raise ConfigError(f"sort={sort!r}; expected one of {', '.join(SORTS)}")
    keep = keep or ClipFilter()
    places = list(_unique_places(dataset, indices or range(len(dataset))))
    metainfo = {id(place.dataset): place.dataset.metainfo for place in _one_each(places)}
    kept = [place for place in places if keep.keeps(place.record, metainfo[id(place.dataset)])]
    if not kept:
        raise ConfigError(f"no clip of {keep} among {_describe(places)}" if places else "the dataset holds no clips")
    if indices:
        return kept
    if sort != "index":
        kept.sort(key=lambda place: _sort_key(place.record, sort))
    return [kept[i] for i in _spread(len(kept), count or len(kept), seed)]


def clip_stages(place: ClipPlace) -> list[tuple[str, Mapping[str, Any]]]:
    """Name and results of each step that has keypoints to draw: the first is the clip as loaded, the last before packing.

    Raises:
        ConfigError: The pipeline loads no keypoints.
        TransformError: A step failed.
    """
    stages = [(name, r) for name, r in place.dataset.stages(place.index) if isinstance(r, Mapping) and "keypoint" in r]
    if not stages:
        raise ConfigError(f"the pipeline of {type(place.dataset).__name__} loads no keypoints; it needs LoadKeypoints first")
    return stages


def _unique_places(dataset: Any, indices: Sequence[int] | range) -> Iterator[ClipPlace]:
    seen: set[tuple[int, int]] = set()
    for outer in indices:
        inner, index = find_clip(dataset, outer)
        if (id(inner), index) not in seen:
            seen.add((id(inner), index))
            yield ClipPlace(inner, index, inner.get_data_info(index))


def _one_each(places: Sequence[ClipPlace]) -> list[ClipPlace]:
    return list({id(place.dataset): place for place in places}.values())


def _is_sign(word: str, record: Mapping[str, Any], metainfo: Mapping[str, Any]) -> bool:
    if word.isdecimal():
        return int(word) == record.get("sign", record.get("label"))
    label = record.get("label", -1)
    glosses = (metainfo.get("classes"), metainfo.get("classes_ar"))
    return any(names and 0 <= label < len(names) and word.casefold() in str(names[label]).casefold() for names in glosses)


def _sort_key(record: Mapping[str, Any], sort: str) -> int:
    return int(record.get("num_frames", 0) if sort == "length" else record.get("sign", record.get("label", 0)))


def _spread(total: int, count: int, seed: int | None) -> list[int]:
    if count >= total:
        return list(range(total))
    if seed is not None:
        return sorted(np.random.default_rng(seed).choice(total, count, replace=False).tolist())
    return ((np.arange(count) + 0.5) * total / count).astype(int).tolist()


def _describe(places: Sequence[ClipPlace]) -> str:
    def values(key: str) -> str:
        found = sorted({place.record[key] for place in places if key in place.record})
        return ", ".join(map(str, found[:8])) + (", ..." if len(found) > 8 else "")

    parts = [f"{key}s {values(key)}" for key in ("sign", "signer", "split") if values(key)]
    return f"{len(places)} clips" + (f" of {'; '.join(parts)}" if parts else "")
