"""Records of clips: the columns that are stored with them, and the parsing of raw records."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from mmengine.fileio import join_path

from karsl.errors import AnnotationError

INDEX_COLUMNS = {
    "label": "int64",
    "num_frames": "int64",
    "pack": "category",
    "frame_start": "int64",  # in a shard of a pack
    "byte_start": "int64",  # in a mapped file, as are the next two
    "dtype": "category",
    "xxh3": "uint64",
}
"""Record keys that are stored as columns too, with their dtype."""


class SharedArray:
    """Attribute of a dataset that shows an array of its `index`.

    MMEngine's `full_init` assigns the arrays of `_serialize_data`; the index has them already.
    """

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, dataset: Any, owner: type) -> Any:
        return self if dataset is None else getattr(dataset.index, self._name)

    def __set__(self, dataset: Any, value: np.ndarray) -> None:
        if not np.array_equal(value, getattr(dataset.index, self._name)):
            raise AttributeError(f"{self._name} is a view of the shared buffer and cannot be replaced; see full_init()")


def parse_records(raw_records: Iterable[Any], parse: Callable[[Any], dict | list[dict]]) -> Iterator[dict]:
    """Parse raw records; labels such as 3.0 or '3' become integers, and clips of packs get the column `pack`.

    Args:
        raw_records: Items of an annotation file's data_list.
        parse: Returns the records of one raw record; `parse_data_info` of a dataset.

    Raises:
        TypeError: If `parse` returns something else.
    """
    for number, raw in enumerate(raw_records):
        parsed = parse(raw)
        for record in parsed if isinstance(parsed, list) else [parsed]:
            if not isinstance(record, dict):
                raise TypeError(
                    f"parse_data_info returned {type(record)} for record {number}; expected dict or list of dict"
                )
            if "frame_start" in record:
                record["pack"] = record["keypoint_path"]
            if isinstance(label := record.get("label"), (str, float, np.number)) and _is_integral(label):
                record["label"] = int(label)
            yield record


def join_prefixes(record: dict, prefixes: Mapping[str, str], *, where: str) -> dict:
    """Join every prefix before the value of its key, in place.

    Raises:
        AnnotationError: If the record lacks the key of a prefix.
    """
    for key, prefix in prefixes.items():
        if key not in record:
            raise AnnotationError(f"{where}: a record has no {key!r}, which data_prefix names; it has {sorted(record)}")
        record[key] = _join(prefix, record[key])
    return record


def drain(records: list[dict]) -> Iterator[dict]:
    """Yield records and release them, so that the list and its serialized copy are not both in memory at once."""
    records.reverse()
    while records:
        yield records.pop()


@lru_cache(maxsize=1024)
def _join(prefix: str, path: str) -> str:
    return join_path(prefix, path) if "://" in prefix else os.path.join(prefix, path)


def _is_integral(label: str | float | np.number) -> bool:
    return label.isdecimal() if isinstance(label, str) else float(label).is_integer()
