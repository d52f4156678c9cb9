"""What every combinator is: a dataset made of datasets, which knows where each of its places comes from."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from mmengine.dataset import force_full_init

from karsl.datasets.combine.agreement import one_skeleton
from karsl.datasets.combine.labels import relabelled
from karsl.datasets.combine.leaves import LeafClips, leaf_clips, leaves_of
from karsl.datasets.combine.members import Members
from karsl.datasets.combine.reading import Reader
from karsl.datasets.index.indices import Indices
from karsl.datasets.pipeline import output_channels
from karsl.datasets.state import SkipCounter, ensure_initialized
from karsl.errors import ConfigError, type_name
from karsl.skeletons import Skeleton


class Combinator(Members):
    """A dataset made of datasets; it holds no clip and, once initialised, never changes.

    A subclass says with `locate` which member gives each place. Everything that reads works on the whole tree at once:
    a sample's draws depend on (seed, epoch, place in the outermost dataset), so a clip that occurs twice in an epoch is
    drawn twice, and a batch of clips of several packs is still made in one pass.

    It is a BaseDataset so that MMEngine's wrappers take it; it has no pipeline and no records of its own.

    Args:
        members: Datasets or their configs.
        lazy_init: Members are built, but nothing is parsed until `full_init()`.
        seed: See KeypointDataset; None takes that of the first member which has one.

    Raises:
        ConfigError: No member, or one is neither a dataset nor a config.
    """

    looks_through = True
    steps: tuple[Callable, ...] = ()

    def __init__(self, members: Iterable[Any], *, lazy_init: bool = False, seed: int | None = None) -> None:
        self.skips = SkipCounter()
        self._reader = Reader(self)
        super().__init__(members, lazy_init=lazy_init, seed=seed)

    # ---- what a subclass says ----

    def inner(self, places: np.ndarray) -> np.ndarray:
        """Places in the member, for combinators of a single one."""
        raise NotImplementedError

    def locate(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where places come from.

        Args:
            places: int64 (N,) in [0, len).

        Returns:
            Numbers of members, int64 (N,), and places in them, int64 (N,).
        """
        raise NotImplementedError

    def _check(self) -> None:
        one_skeleton(self, only_if_packed=True)

    # ---- what a dataset has ----

    def __getitem__(self, idx: int) -> Any:
        """The sample at a place; a slice gives a dataset of those places.

        Raises:
            IndexError: Outside.
            TransformError: A step failed; the text names member, clip and step.
        """
        if isinstance(idx, slice):
            return self.get_subset(idx)
        return self.get_sample(idx)

    def get_sample(self, idx: int, *, rng_key: np.uint64 | None = None) -> Any:
        """The sample at a place, with a given random key."""
        self._ready()
        place = self.place(idx)
        return self._reader.one(place, self._epoch_state.key(place) if rng_key is None else rng_key)

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        """N samples at once, as one finished batch where all clips can go through one pass."""
        self._ready()
        places = np.array([operator.index(i) for i in indices], dtype=np.int64)
        outside = places[(places < -self._length) | (places >= self._length)]
        if len(outside):
            self.place(int(outside[0]))  # raises
        places = np.where(places < 0, places + self._length, places)
        return self._reader.many(places, self._epoch_state.keys(places))

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def place(self, idx: int) -> int:
        """An index as a place in [0, len).

        Raises:
            IndexError: Outside.
        """
        place, length = operator.index(idx), len(self)
        if not -length <= place < length:
            raise IndexError(f"index {idx} is outside a {type_name(self)} of {length} clips")
        return place + length if place < 0 else place

    def clip(self, idx: int) -> LeafClips:
        """The one clip at a place: dataset that reads it, place there, steps on its way."""
        (found,) = leaf_clips(self, np.array([self.place(idx)]))
        return found

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """A private copy of the record at a place, with the label that samples have, and `sample_idx` of this dataset."""
        found = self.clip(idx)
        record = found.dataset.get_data_info(int(found.places[0]))
        return relabelled(record, found.steps) | {"sample_idx": self.place(idx)}

    @force_full_init
    def get_cat_ids(self, idx: int) -> list[int]:
        """`[label]` of a clip, which ClassBalancedDataset asks for."""
        found = self.clip(idx)
        labels = found.dataset.get_cat_ids(int(found.places[0]))
        return [relabelled({"label": label}, found.steps)["label"] for label in labels]

    @force_full_init
    def column(self, name: str) -> np.ndarray:
        """(n,) numbers of one record key, for samplers; see `KeypointDataset.column`.

        Raises:
            KeyError: A dataset below does not keep it.
        """
        return self._reader.column(name)

    @force_full_init
    def _get_ori_dataset_idx(self, idx: int) -> int | tuple[int, int]:
        """Where MMEngine's wrappers say a place comes from: the place in `dataset`, or (number in `datasets`, place)."""
        members, places = self.locate(np.array([self.place(idx)]))
        return int(places[0]) if self._members_key == "dataset" else (int(members[0]), int(places[0]))

    def get_subset(self, indices: Indices, *, of_each_epoch: bool = False) -> Combinator:  # type: ignore[override]
        """A dataset of some of the places; nothing is copied.

        Raises:
            ConfigError: Places are other clips in each epoch; see SliceDataset for `of_each_epoch`.
        """
        from karsl.datasets.combine.slice import SliceDataset

        return SliceDataset(self, indices, of_each_epoch=of_each_epoch)

    def get_subset_(self, indices: Indices) -> None:  # type: ignore[override]
        """Not for combinators: they never change.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(f"a {type_name(self)} never changes; get_subset(indices) gives another dataset")

    @property
    def num_skipped(self) -> int:
        """Clips replaced by others so far, over all workers; see KeypointDataset."""
        return self.skips.count

    # ---- skeletons ----

    def output_skeletons(self) -> dict[str, Skeleton]:
        """What the keypoints are at the end of each way through the tree, by the path of the dataset that reads."""
        return self._reader.output_skeletons()

    @property
    def skeleton(self) -> Skeleton | None:
        """What the keypoints on disk are; None where datasets below differ."""
        found = {getattr(leaf, "skeleton", None) for _, leaf, _ in leaves_of(self)}
        return found.pop() if len(found) == 1 else None

    @property
    def output_skeleton(self) -> Skeleton | None:
        """What the keypoints are at the end, as far as steps say.

        Raises:
            SkeletonError: Clips of datasets below end with different keypoints.
        """
        return one_skeleton(self)

    @property
    def output_channels(self) -> int:
        """C at the end, as far as steps say.

        Raises:
            ConfigError: Clips of datasets below end with different C.
        """
        found: dict[int, str] = {}
        for path, leaf, steps in leaves_of(self):
            channels = getattr(leaf, "output_channels", 3)
            for step in steps:
                channels = output_channels(step, channels)
            found.setdefault(channels, path)
        if len(found) > 1:
            (a, first), (b, other), *_ = found.items()
            raise ConfigError(f"{first} gives {a} channels and {other} {b}; set with_score alike in PackKeypointInputs")
        return next(iter(found))

    # ---- the rest ----

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_reader": None}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._reader = Reader(self)

    def _ready(self) -> None:
        ensure_initialized(self)
