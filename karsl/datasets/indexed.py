"""MMEngine's BaseDataset with its records in one index that all processes of a node share."""

from __future__ import annotations

import copy
import logging
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from mmengine.dataset import BaseDataset, force_full_init
from mmengine.logging import print_log

from karsl.datasets.filters import absent_values, contents_of, counted
from karsl.datasets.index.buffer import SerializedList
from karsl.datasets.index.parse_once import COLUMNS, LEARNED, parse_once
from karsl.datasets.subset import Indices, resolve_indices

_TOLD_LATER: ContextVar[bool] = ContextVar("told_later", default=False)


@contextmanager
def told_later() -> Iterator[None]:
    """For datasets that are opened for a look and will be opened again: what they lack is said then."""
    before = _TOLD_LATER.set(True)
    try:
        yield
    finally:
        _TOLD_LATER.reset(before)


def init_late(dataset: BaseDataset) -> None:
    """Initialise a dataset that is read before anyone did, and say so: each worker process would do it for itself."""
    if not dataset._fully_initialized:
        text = "full_init() is called now; call it before the dataset goes to workers, to parse once"
        print_log(text, logger="current", level=logging.WARNING)
        dataset.full_init()


class IndexedDataset(BaseDataset):
    """Where records are kept and how one is found; what they mean is a subclass's matter.

    Attributes:
        index_cache: Folder of index files; `'auto'` is the user's cache folder, None keeps the index in shared memory of
            the run.
        contents: Clips, signs and signers in a few words; empty before `full_init` and of a subset.
        absent: What `filter_cfg` asks for and no clip is of, in a few words.
        left_out: One sentence for each thing that was found wrong and left out.
    """

    index_cache: str | None = "auto"
    contents: str = ""
    absent: str = ""
    left_out: tuple[str, ...] = ()
    _fully_initialized: bool

    def full_init(self) -> None:
        """Load, filter, take `indices`, serialise: once, however often it is called."""
        if self._fully_initialized:
            return
        if self.serialize_data:
            self._index, learned = parse_once(self, self._parse)
            self._metainfo, self.contents, self.absent, self.left_out = (learned[key] for key in LEARNED)
            self.data_list = []
        else:
            self.data_list = self._parse()
        self._fully_initialized = True
        self._tell()

    def _parse(self) -> list[dict]:
        self.data_list = self.load_data_list()
        self.data_list = self.filter_data()
        kept = self.data_list if self._indices is None else self._get_unserialized_subset(self._indices)
        self.contents = contents_of(kept)
        if type(self).filter_data.__module__.startswith("karsl."):  # else `filter_cfg` is a subclass's matter
            self.absent = absent_values(self.data_list, self.filter_cfg)
        return kept

    def _tell(self) -> None:
        """Warn of what is less than was asked for: at every start, whoever parsed."""
        if _TOLD_LATER.get():
            return
        name = self.ann_file or self.data_root
        if self.absent:
            text = f"{name}: filter_cfg asks for {self.absent}, and no clip is of these; the rest is taken"
            print_log(text, logger="current", level=logging.WARNING)
        if self.left_out:
            text = f"{name}: clips are left out for {counted(len(self.left_out), 'problem')}, the first: "
            print_log(text + self.left_out[0], logger="current", level=logging.WARNING)

    def index_inputs(self) -> list[str]:
        """Files and folders that shape the records, besides those that attributes name.

        A subclass that overrides `load_data_list`, `parse_data_info` or `filter_data` overrides this too, if only with
        `return []`: only then may a later start use the index of an earlier one instead of parsing.
        """
        return []

    def _serialize_data(self) -> tuple[np.ndarray, np.ndarray]:
        """Move `data_list` into the shared buffer, as MMEngine's step of this name; for a `full_init` of one's own."""
        self._index = SerializedList.build(self.data_list, columns=COLUMNS)
        self.data_list = []
        return self._index.data_bytes, self._index.data_address

    @property
    def index(self) -> SerializedList:
        """The shared buffer of records.

        Raises:
            AttributeError: `serialize_data=False`, or not initialised yet.
        """
        return self._index

    def column(self, name: str) -> np.ndarray:
        """(n,) numbers of one record key, kept beside the records; read-only.

        Raises:
            KeyError: It is not kept, see `SerializedList.column`.
        """
        columns = self.__dict__.setdefault("_columns", {})
        if name not in columns:
            columns[name] = self._index.column(name)
        return columns[name]

    @property
    def data_bytes(self) -> np.ndarray:  # type: ignore[override]
        """uint8, all records one after the other; read-only, shared by all processes of the node."""
        return self._index.data_bytes

    @data_bytes.setter
    def data_bytes(self, value: np.ndarray) -> None:
        self._accept_own(value, "data_bytes")

    @property
    def data_address(self) -> np.ndarray:
        """int64 (n,), where each record ends in `data_bytes`."""
        return self._index.data_address

    @data_address.setter
    def data_address(self, value: np.ndarray) -> None:
        self._accept_own(value, "data_address")

    def _accept_own(self, value: np.ndarray, name: str) -> None:
        """A `full_init` in MMEngine's style assigns what `_serialize_data` gave; the buffer holds it already."""
        if not np.array_equal(value, getattr(self, name)):
            raise AttributeError(f"{name} is a view of the shared buffer and cannot be replaced; see full_init()")

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """A private copy of one record, with `sample_idx`.

        Args:
            idx: In [-n, n); numpy integers too.

        Raises:
            IndexError: Outside.
        """
        try:
            record = self._index[idx] if self.serialize_data else copy.deepcopy(self.data_list[idx])
        except IndexError:
            raise IndexError(f"index {idx} is outside a dataset of {len(self)} records") from None
        place = idx if type(idx) is int else operator.index(idx)
        record["sample_idx"] = place if place >= 0 else place + len(self)
        return record

    @force_full_init
    def __len__(self) -> int:
        return len(self._index) if self.serialize_data else len(self.data_list)

    @force_full_init
    def get_subset_(self, indices: Indices) -> None:
        """Keep a part of this dataset: int (first n, last -n), slice, sequence or array; the pages stay shared."""
        if self.serialize_data:
            self._index = self._index.view(indices)
            self.__dict__.pop("_columns", None)
        else:
            self.data_list = self._get_unserialized_subset(indices)
        self.contents = ""

    @force_full_init
    def get_subset(self, indices: Indices) -> IndexedDataset:
        """A dataset of a part of the records, with a pipeline and metainfo of its own, on the same pages."""
        subset = self._copy_without_annotation()
        if self.serialize_data:
            subset._index = self._index.view(indices)
        else:
            subset.data_list = copy.deepcopy(self._get_unserialized_subset(indices))
        return subset

    def _get_unserialized_subset(self, indices: Indices) -> list[dict]:
        return [self.data_list[i] for i in resolve_indices(indices, len(self.data_list))]

    def _copy_without_annotation(self, memo: dict | None = None) -> IndexedDataset:
        memo = {} if memo is None else memo
        other = memo[id(self)] = type(self).__new__(type(self))
        for key, value in self.__dict__.items():
            if key not in ("data_list", "_index", "_columns"):
                setattr(other, key, copy.deepcopy(value, memo))
        other.data_list = []
        other.contents = ""
        return other

    def __getstate__(self) -> dict:
        return {key: value for key, value in self.__dict__.items() if key != "_columns"}  # views of pages to be mapped anew
