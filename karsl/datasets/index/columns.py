"""One number per record, kept beside the records, so that samplers and filters need not decode a million of them."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

from karsl.datasets.index.layout import checksum

_TYPECODES = {"int64": "q", "uint64": "Q", "int32": "i", "float64": "d", "category": "i"}
_DTYPES = {"q": "<i8", "Q": "<u8", "i": "<i4", "d": "<f8"}


class NumberColumn:
    """Collects the values of one record key.

    Args:
        name: Record key.
        dtype: 'int64', 'uint64', 'int32', 'float64', or 'category': int32 codes of values in the order in which they first
            appear.

    Raises:
        ValueError: Another `dtype`.

    Example:
        >>> signer = NumberColumn("signer", "category")
        >>> signer.extend([{"signer": "02"}, {"signer": "01"}, {"signer": "02"}])
        >>> list(signer.values), list(signer.codes)
        ([0, 1, 0], ['02', '01'])
    """

    def __init__(self, name: str, dtype: str) -> None:
        if dtype not in _TYPECODES:
            raise ValueError(f"column {name!r} has dtype {dtype!r}; use one of {', '.join(_TYPECODES)}")
        self.name, self.values = name, array(_TYPECODES[dtype])
        self.codes: dict[Hashable, int] | None = {} if dtype == "category" else None
        self.reason: str | None = None
        self._convert: Callable[[Any], Any] = _as_float if dtype == "float64" else operator.index

    def extend(self, records: Sequence[Any]) -> None:
        """Append the values of records; the first without a fitting one ends the column, see `reason`."""
        if self.reason is not None:
            return
        count = len(self.values)
        try:
            values = list(map(operator.itemgetter(self.name), records))
            self.values.extend(map(self._convert, values) if self.codes is None else _codes_of(values, self.codes))
        except (KeyError, TypeError, ValueError, OverflowError):
            del self.values[count:]
            for record in records:
                self._append(record)

    def _append(self, record: Any) -> None:
        """One value, to find the one that does not fit."""
        if self.reason is not None:
            return
        try:
            value = record[self.name]
        except (KeyError, TypeError):
            self._end(f"record {len(self.values)} lacks {self.name!r}")
            return
        try:
            # no bound method is kept: a cycle would hold the values until the garbage collector comes by
            self.values.append(self._convert(value) if self.codes is None else _code_of(value, self.codes))
        except (TypeError, ValueError, OverflowError):
            self._end(f"record {len(self.values)} has {self.name}={value!r}")

    def entry(self, offset: int) -> dict:
        """How the column is found again, its values lying at `offset`."""
        codes = None if self.codes is None else list(self.codes)
        dtype = _DTYPES[self.values.typecode]
        return {"dtype": dtype, "offset": offset, "hash": checksum(self.values), "codes": codes}

    def _end(self, reason: str) -> None:
        self.reason, self.values = reason, array(self.values.typecode)


def _codes_of(values: Sequence[Any], codes: dict[Hashable, int]) -> Iterator[int]:
    if not {str, int}.issuperset(map(type, values)):
        raise TypeError("of another type, or of a subclass: one by one then")
    for value in dict.fromkeys(values):
        codes.setdefault(value, len(codes))
    return map(codes.__getitem__, values)


def _code_of(value: Hashable, codes: dict[Hashable, int]) -> int:
    if not isinstance(value, (str, int)):
        raise TypeError(f"a category is a str or an int, not {value!r}")
    return codes.setdefault(value, len(codes))


def _as_float(value: Any) -> float:
    if isinstance(value, (str, bytes)):
        raise TypeError("float() would read a number from text")
    return float(value)
