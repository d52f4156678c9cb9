"""Filter a dataset by a predicate."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from itertools import chain
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from karsl.datasets.combine.base import DatasetWrapper, SingleWrapper, wrap
from karsl.datasets.combine.map import import_callable
from karsl.datasets.combine.read import modifies
from karsl.datasets.combine.select import as_indices, take
from karsl.datasets.records import FILTERS, resolve_filters
from karsl.datasets.rng import hash_name
from karsl.datasets.tree import ResolvedClips
from karsl.errors import ConfigError, TransformError, did_you_mean, pluralize, type_name
from karsl.progress import track
from karsl.registry import DATASETS, FUNCTIONS

Predicate = Callable[[Mapping], Any]
_CLIP_KEYS = frozenset(("keypoint", "keypoint_score", "skeleton", "inputs", "keypoint_mask"))
_INTERVAL = 16  # samples between two updates of the bar; some are read completely
_CHUNK = 256  # samples per answer of a worker


@DATASETS.register_module()
class FilterDataset(SingleWrapper):
    """The clips for which a predicate is true, in the order of the dataset.

    The predicate is called once per sample when the dataset is initialized. It gets a sample after the pipeline and every
    MapDataset below, as a mapping that reads the clip only for keys that the record cannot answer: a predicate on signer,
    split or label reads no clip. Random numbers are those of epoch 0. The resulting indices are shared by all processes.

    Args:
        dataset: Dataset or config.
        predicate: A function of one sample; the name or `'module:function'` of a function, or the config of one registered
            in FUNCTIONS, `dict(type='long_enough', frames=10)`, whose arguments follow the sample; or keys of `filter_cfg`,
            e.g. `dict(split='train', min_frames=10)`.
        num_workers: Number of processes that evaluate the predicate; 0 uses this one.
        lazy_init, seed: See DatasetWrapper.

    Raises:
        ConfigError: If there is no such function, no clip is left, or indices below are other clips in each epoch.
        TransformError: If the predicate fails; the message names the sample.
    """

    def __init__(
        self,
        dataset: Any,
        predicate: Predicate | str | Mapping,
        *,
        num_workers: int = 0,
        lazy_init: bool = False,
        seed: int | None = None,
    ) -> None:
        self._argument, self._predicate, self._num_workers = predicate, load_predicate(predicate), num_workers
        super().__init__(dataset, lazy_init=lazy_init, seed=seed)

    def _prepare(self) -> None:
        self._check_fixed_order()
        results = _Results(wrap(self.dataset), self._predicate, type_name(self), self._num_workers)
        tracked = track(results, "filtering", interval=_INTERVAL)
        indices = np.flatnonzero(np.fromiter(tracked, dtype=bool, count=len(results)))
        if not len(indices):
            raise ConfigError(
                f"{type_name(self)}: {predicate_name(self._argument)} is true for none of {pluralize(len(results), 'clip')}"
            )
        self._indices = as_indices(indices)

    @property
    def indices(self) -> np.ndarray:
        """Indices of the remaining clips in the dataset below, int64 (n,)."""
        return take(self._indices, np.arange(len(self._indices)))

    def child_indices(self, indices: np.ndarray) -> np.ndarray:
        return take(self._indices, indices)

    def _num_samples(self, lengths: np.ndarray) -> int:
        return len(self._indices)

    def _describe(self) -> str:
        return predicate_name(self._argument)

    def __getstate__(self) -> dict:
        """Leave out the predicate, which may be a lambda, once it has been evaluated."""
        state = super().__getstate__()
        if self._fully_initialized:
            state |= {"_predicate": None, "_argument": predicate_name(self._argument)}
        return state


class _Results(Dataset):
    """Results of a predicate, one bool per sample."""

    def __init__(self, dataset: DatasetWrapper, predicate: Predicate, owner: str, num_workers: int) -> None:
        self._dataset, self._predicate, self._owner, self._num_workers = dataset, predicate, owner, num_workers

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> bool:
        try:
            return bool(self._predicate(LazySample(self._dataset, index)))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            name = predicate_name(self._predicate)
            raise TransformError(f"{self._owner}: {name} failed on sample {index}: {reason}") from error

    def __iter__(self) -> Iterator[bool]:
        if not self._num_workers:
            return map(self.__getitem__, range(len(self)))
        return chain.from_iterable(DataLoader(self, _CHUNK, num_workers=self._num_workers, collate_fn=list))


class LazySample(Mapping):
    """A sample that is made only if a key is read that the record cannot answer.

    A key of the record is answered without reading the clip unless a transform may have changed it, see
    `KeypointTransform.modified_keys`; other callables may change any key.

    Args:
        dataset: The dataset.
        index: Index of the sample.
    """

    def __init__(self, dataset: DatasetWrapper, index: int) -> None:
        self._dataset, self._index = dataset, index

    def __getitem__(self, key: str) -> Any:
        is_made = "_sample" in self.__dict__
        if not is_made and key not in _CLIP_KEYS and key in self._record and not modifies(self._clips, key):
            return self._record[key]
        return self._sample[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sample)

    def __len__(self) -> int:
        return len(self._sample)

    @cached_property
    def _clips(self) -> ResolvedClips:
        return self._dataset.resolve(self._index)

    @cached_property
    def _record(self) -> dict:
        try:
            return self._dataset.get_data_info(self._index)
        except AttributeError:  # a third-party dataset may have no records
            return {}

    @cached_property
    def _sample(self) -> dict:
        sample = self._dataset.get_sample(self._index)
        return {**self._record, **(sample if isinstance(sample, dict) else {"sample": sample})}


def load_predicate(predicate: Predicate | str | Mapping) -> Predicate:
    """Return the function that `predicate` of FilterDataset refers to.

    Raises:
        ConfigError: If there is no function or filter of that name.

    Example:
        >>> load_predicate({"split": "train"})({"split": "test"})
        False
    """
    if callable(predicate):
        return predicate
    if isinstance(predicate, Mapping) and "type" not in predicate:
        if not predicate or not predicate.keys() <= {*FILTERS, "part"}:
            raise ConfigError(
                f"FilterDataset: predicate={dict(predicate)!r}; expected 'type' or keys of {', '.join(FILTERS)}"
            )
        return _All([FILTERS[key](value) for key, value in resolve_filters(predicate).items()])
    if not isinstance(predicate, (str, Mapping)):
        raise ConfigError(f"FilterDataset: predicate={predicate!r}; expected a function, its registered name, or a dict")
    arguments = {} if isinstance(predicate, str) else {k: v for k, v in predicate.items() if k != "type"}
    name: Any = predicate if isinstance(predicate, str) else predicate["type"]
    if isinstance(name, str) and ":" in name:
        name = import_callable(name)
    function: Any = name if callable(name) else FUNCTIONS.get(str(name))
    if function is None:
        hint = did_you_mean(str(name), FUNCTIONS.module_dict, "register it with karsl.registry.FUNCTIONS")
        raise ConfigError(f"FilterDataset: no function {name!r}{hint}")
    if inspect.isclass(function):
        return function(**arguments)  # type: ignore[return-value]
    return partial(function, **arguments) if arguments else function


class _All:
    """The conjunction of several filters; picklable."""

    def __init__(self, filters: list[Callable[[dict], bool]]) -> None:
        self.filters = filters

    def __call__(self, sample: Mapping) -> bool:
        return all(is_match(sample) for is_match in self.filters)  # type: ignore[arg-type]  # a mapping, read as a dict


def predicate_name(predicate: Any) -> str:
    """Return the name of a predicate in messages and trees."""
    if isinstance(predicate, (str, Mapping)):
        return predicate.rpartition(":")[2] if isinstance(predicate, str) else repr(dict(predicate))
    if isinstance(predicate, partial):
        return predicate_name(predicate.func)
    return getattr(predicate, "__name__", type(predicate).__name__)


@FUNCTIONS.register_module()
def hash_split(item: Mapping, split: str = "train", test_fraction: float = 0.2, key: str = "clip_id") -> bool:
    """Return True if an item belongs to a split, decided by a hash of its name. A predicate for FilterDataset.

    An item is always in the same split, whatever else the corpus contains. To keep signers disjoint, use `key='signer'`
    if the records name them.

    Args:
        item: Record or sample that has `key`.
        split: `'train'` or `'test'`.
        test_fraction: Expected fraction of distinct names in the test split.
        key: Key whose value is hashed.

    Raises:
        ConfigError: If `split` is neither.

    Example:
        >>> in_test = [hash_split({"clip_id": str(n)}, "test") for n in range(1000)]
        >>> 160 < sum(in_test) < 240, hash_split({"clip_id": "0"}, "train") != in_test[0]
        (True, True)
    """
    if split not in ("train", "test"):
        raise ConfigError(f"hash_split: split={split!r}; expected 'train' or 'test'")
    return (hash_name(str(item[key])) / 2**64 < test_fraction) == (split == "test")
