"""Base classes of dataset wrappers: datasets made of other datasets, without a copy of any clip."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from karsl.datasets.combine.agreement import common_metainfo, common_skeleton
from karsl.datasets.combine.read import TreeReader
from karsl.datasets.index.indices import Indices
from karsl.datasets.pipeline import output_channels
from karsl.datasets.state import EpochState, SkipCounter, ensure_initialized
from karsl.datasets.transforms.labels import relabel
from karsl.datasets.tree import (
    ResolvedClips,
    descendants,
    first_changing,
    first_seed,
    format_tree,
    leaf_datasets,
    resolve_leaves,
    set_epoch_recursive,
)
from karsl.errors import ConfigError, pluralize, type_name, with_context
from karsl.registry import DATASETS
from karsl.skeletons import Skeleton


class DatasetWrapper(BaseDataset):
    """A dataset made of datasets. It stores no clip and does not change once initialized.

    A subclass defines in `locate` the child and the index in it of each of its indices, and in `_num_samples` its length.
    Samples, batches, records and columns are read through the whole tree at once: the random numbers of a sample depend
    on (seed, epoch, index in the outermost dataset), so a clip that occurs twice in an epoch is augmented in two ways,
    and clips of several packs still make one batch in one pass.

    It derives from BaseDataset so that MMEngine's wrappers accept it; it has neither pipeline nor records of its own.

    Args:
        children: Datasets or their configs.
        lazy_init: Build the children but parse nothing until `full_init()`.
        seed: See KeypointDataset; None uses the seed of the first child that has one.

    Raises:
        ConfigError: If there is no child, or one is neither a dataset nor a config.
    """

    transparent = True  # wrappers above read the children of this one
    single = False  # always exactly one child
    changes_each_epoch = False  # an index is another clip in another epoch
    allow_empty = False  # an empty dataset was asked for
    accepts_empty_children = False  # a child with `allow_empty` may have no clips
    steps: tuple[Callable, ...] = ()
    _children_arg = "datasets"
    _min_children = 1
    _fully_initialized: bool = False

    def __init__(self, children: Iterable[Any], *, lazy_init: bool = False, seed: int | None = None) -> None:
        self.skips = SkipCounter()
        self._reader = TreeReader(self)
        self.children: tuple[Any, ...] = tuple(self._build(number, child) for number, child in enumerate(children))
        if len(self.children) < self._min_children:
            raise ConfigError(f"{type_name(self)}: {self._children_arg} is empty; give at least one dataset or config")
        self._epoch_state = EpochState(first_seed(self.children) if seed is None else seed)
        self._share_seed()
        if not lazy_init:
            self.full_init()

    # ---- defined by subclasses ----

    def locate(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return child numbers and indices in these children, int64 (N,) each.

        Args:
            indices: int64 (N,), each in [0, len(self)).
        """
        raise NotImplementedError

    def child_indices(self, indices: np.ndarray) -> np.ndarray:
        """Return indices in the child of a single-child wrapper, int64 (N,)."""
        raise NotImplementedError

    def _num_samples(self, lengths: np.ndarray) -> int:
        """Return the length of the dataset, given those of the children; called once."""
        raise NotImplementedError

    def _prepare(self) -> None:
        """Compute what `locate` needs from the initialized children, of `self._lengths` clips."""

    def _merge_metainfo(self) -> dict:
        return common_metainfo(self)

    def _describe(self) -> str:
        """Return the arguments for `repr`, without the children."""
        return ""

    # ---- children ----

    def _build(self, number: int, child: Any) -> Any:
        if not isinstance(child, Mapping):
            if hasattr(child, "__getitem__") and hasattr(child, "__len__") and not isinstance(child, (Sequence, str)):
                return child
            raise ConfigError(
                f"{type_name(self)}: {self.child_name(number)} is of type {type_name(child)}; "
                "expected a dataset or its config"
            )
        try:
            return DATASETS.build(dict(child))
        except Exception as error:
            raise with_context(error, f"{type_name(self)}: {self.child_name(number)} ({type_name(child)})") from error

    def child_name(self, number: int) -> str:
        """Return the name of a child in messages: its path in a config."""
        return f"{self._children_arg}[{number}]"

    def full_init(self) -> None:
        """Initialize the children, then this dataset; later calls do nothing.

        Raises:
            ConfigError: If a child is empty or fails, named by position and type, or children do not fit together.
        """
        if self._fully_initialized:
            return
        lengths = []
        for number, child in enumerate(self.children):
            where = f"{type_name(self)}: {self.child_name(number)} ({type_name(child)})"
            try:
                if hasattr(child, "full_init"):
                    child.full_init()
                lengths.append(len(child))
            except Exception as error:
                raise with_context(error, where) from error
            if not lengths[-1] and not (self.accepts_empty_children and getattr(child, "allow_empty", False)):
                raise ConfigError(f"{where} has no clips; remove it or check its filters")
        self._lengths = np.array(lengths, dtype=np.int64)
        self._prepare()
        self._length = self._num_samples(self._lengths)
        self._metainfo = self._merge_metainfo()
        common_skeleton(self, only_if_packed=True)
        self._fully_initialized = True

    def _check_fixed_order(self, alternative: str = "") -> None:
        """Check that a wrapper may store indices of its child.

        Args:
            alternative: Appended to the remedy.

        Raises:
            ConfigError: If they are other clips in another epoch.
        """
        found = first_changing(self.children)
        if found:
            raise ConfigError(
                f"{type_name(self)}: the {found} below gives other clips for the same indices in each epoch, so indices "
                f"cannot be stored; put the {type_name(self)} below the {found}, around its children{alternative}"
            )

    def _share_seed(self) -> None:
        """Give the seed to wrappers below that have none, so that the order of a mix follows the seed of the tree."""
        seed = self._epoch_state.seed
        for below in descendants(self.children) if seed is not None else ():
            if isinstance(below, DatasetWrapper) and below._epoch_state.seed is None:
                below._epoch_state.set_epoch(below._epoch_state.epoch, seed=seed)

    def set_epoch(self, epoch: int, seed: int | None = None) -> None:
        """Set the epoch of this dataset and of everything below; running workers see it."""
        self._epoch_state.set_epoch(epoch, seed=seed)
        set_epoch_recursive(self.children, epoch, seed)

    # ---- samples ----

    def __getitem__(self, idx: int) -> Any:
        """Return one sample; a slice returns a dataset of these indices.

        Raises:
            IndexError: If `idx` is out of range.
            TransformError: If a transform fails; the message names child, clip and transform.
        """
        if isinstance(idx, slice):
            return self.get_subset(idx)
        return self.get_sample(idx)

    def get_sample(self, idx: int, *, rng_key: np.uint64 | None = None) -> Any:
        """Return one sample, with the random numbers of a key; None uses (seed, epoch, idx)."""
        self._ensure_initialized()
        index = self.check_index(idx)
        return self._reader.sample(index, self._epoch_state.key(index) if rng_key is None else rng_key)

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        """Return N samples, as one batch where all clips can go through one pass."""
        self._ensure_initialized()
        found = np.array([operator.index(i) for i in indices], dtype=np.int64)
        outside = found[(found < -self._length) | (found >= self._length)]
        if len(outside):
            self.check_index(int(outside[0]))  # raises
        found = np.where(found < 0, found + self._length, found)
        return self._reader.batch(found, self._epoch_state.keys(found))

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __len__(self) -> int:
        self._ensure_initialized()
        return self._length

    def _ensure_initialized(self) -> None:
        ensure_initialized(self)

    def check_index(self, idx: int) -> int:
        """Return `idx` as an index in [0, len(self)).

        Raises:
            IndexError: If it is out of range.
        """
        index, length = operator.index(idx), len(self)
        if not -length <= index < length:
            raise IndexError(f"index {idx} is out of range for a {type_name(self)} of {pluralize(length, 'clip')}")
        return index + length if index < 0 else index

    def resolve(self, idx: int) -> ResolvedClips:
        """Return the clip at an index: the dataset that reads it, the index there, and the transforms above."""
        (clips,) = resolve_leaves(self, np.array([self.check_index(idx)]), open_root=True)
        return clips

    @property
    def num_skipped(self) -> int:
        """Number of clips replaced by others so far, over all workers; see KeypointDataset."""
        return self.skips.count

    # ---- records ----

    def get_data_info(self, idx: int) -> dict:
        """Return a copy of a record, with the label that samples have and `sample_idx` of this dataset."""
        clips = self.resolve(idx)
        record = clips.dataset.get_data_info(int(clips.indices[0]))
        return relabel(record, clips.steps) | {"sample_idx": self.check_index(idx)}

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return `[label]` of a clip, as ClassBalancedDataset needs it."""
        clips = self.resolve(idx)
        labels = clips.dataset.get_cat_ids(int(clips.indices[0]))
        return [relabel({"label": label}, clips.steps)["label"] for label in labels]

    def column(self, name: str) -> np.ndarray:
        """Return one number per record, (n,), for samplers; see `KeypointDataset.column`.

        Raises:
            KeyError: If a dataset below has no such number.
        """
        self._ensure_initialized()
        return self._reader.column(name)

    def _get_ori_dataset_idx(self, idx: int) -> int | tuple[int, int]:
        """Return the origin of an index as MMEngine's wrappers do: index in `dataset`, or (number in `datasets`, index)."""
        self._ensure_initialized()
        numbers, indices = self.locate(np.array([self.check_index(idx)]))
        return int(indices[0]) if self._children_arg == "dataset" else (int(numbers[0]), int(indices[0]))

    def get_subset(self, indices: Indices, *, allow_reshuffled: bool = False) -> DatasetWrapper:  # type: ignore[override]
        """Return a dataset of some of the indices, without a copy.

        Raises:
            ConfigError: If indices are other clips in each epoch; see `allow_reshuffled` of SliceDataset.
        """
        return DATASETS.get("SliceDataset")(self, indices, allow_reshuffled=allow_reshuffled)  # type: ignore[misc]

    def get_subset_(self, indices: Indices) -> None:  # type: ignore[override]
        """Not supported: a wrapper does not change.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(f"a {type_name(self)} cannot be changed; get_subset(indices) returns another dataset")

    # ---- properties of the clips ----

    @property
    def metainfo(self) -> dict:
        """Copy of the metainfo that the children agree on; before `full_init`, of what they know so far."""
        return dict(self._metainfo) if self._fully_initialized else self._merge_metainfo()

    def output_skeletons(self) -> dict[str, Skeleton]:
        """Return the skeleton of the samples from each dataset that reads, by its path in the tree."""
        return self._reader.output_skeletons()

    @property
    def skeleton(self) -> Skeleton | None:
        """Skeleton of the stored clips; None where the datasets below differ."""
        found = {getattr(leaf, "skeleton", None) for _, leaf, _ in leaf_datasets(self, open_root=True)}
        return found.pop() if len(found) == 1 else None

    @property
    def output_skeleton(self) -> Skeleton | None:
        """Skeleton of the samples, as far as the transforms declare it.

        Raises:
            SkeletonError: If samples of the datasets below have different keypoints.
        """
        return common_skeleton(self)

    @property
    def output_channels(self) -> int:
        """C of the samples, as far as the transforms declare it.

        Raises:
            ConfigError: If samples of the datasets below have different C.
        """
        found: dict[int, str] = {}
        for path, leaf, steps in leaf_datasets(self, open_root=True):
            channels = getattr(leaf, "output_channels", 3)
            for step in steps:
                channels = output_channels(step, channels)
            found.setdefault(channels, path)
        if len(found) > 1:
            (a, first), (b, other), *_ = found.items()
            raise ConfigError(f"{first} gives {a} channels and {other} {b}; set with_score alike in PackKeypointInputs")
        return next(iter(found))

    def __repr__(self) -> str:
        return format_tree(self)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_reader": None}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._reader = TreeReader(self)


class SingleWrapper(DatasetWrapper):
    """A wrapper of one dataset, with the argument name of MMEngine's wrappers; by itself it changes nothing."""

    _children_arg = "dataset"
    single = True

    def __init__(self, dataset: Any, *, lazy_init: bool = False, seed: int | None = None) -> None:
        super().__init__([dataset], lazy_init=lazy_init, seed=seed)

    @property
    def dataset(self) -> Any:
        """The wrapped dataset."""
        return self.children[0]

    def child_name(self, number: int) -> str:
        return "dataset"

    def locate(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(len(indices), np.int64), self.child_indices(indices)

    def child_indices(self, indices: np.ndarray) -> np.ndarray:
        """Return indices in the wrapped dataset; the same ones unless a subclass overrides this."""
        return indices

    def _num_samples(self, lengths: np.ndarray) -> int:
        return int(lengths[0])


def wrap(dataset: Any) -> DatasetWrapper:
    """Return the dataset as a wrapper, which reads samples, records and columns through it."""
    return dataset if isinstance(dataset, DatasetWrapper) else SingleWrapper(dataset)
