"""Records of a dataset as an Arrow table."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from karsl.datasets.index.record_list import RecordList
from karsl.errors import ConfigError, did_you_mean, missing_extra

GLOSS = "gloss"
"""Column with the name of the class of each record."""
_INTERNAL = ("pack", "sample_idx")


def make_table(records: RecordList | Sequence[dict], classes: Sequence[Any], columns: Sequence[str] | None) -> Any:
    """Return the records as `pyarrow.Table`, with one row per record.

    Columns of the index are taken from it as arrays. Records are decoded only for other columns.

    Args:
        records: Records of a dataset.
        classes: Names of the classes, for the column `gloss`; empty without names.
        columns: Names of columns, in their order. None takes every key of the records, and `gloss`.

    Raises:
        ConfigError: If no record has one of the columns.
        MissingExtraError: If pyarrow is not installed.
    """
    try:
        import pyarrow
    except ImportError:
        raise missing_extra("parquet", "pyarrow") from None
    stored = [name for name in records.columns if _is_complete(records, name)] if isinstance(records, RecordList) else []
    arrays = {name: _stored(pyarrow, records, name) for name in stored}
    wanted = None if columns is None else [name for name in columns if name not in arrays and name != GLOSS]
    if wanted is None or wanted or (columns and GLOSS in columns and "label" not in arrays):
        arrays |= _decoded(pyarrow, records, arrays.keys())
    if classes and "label" in arrays and GLOSS not in arrays:
        arrays[GLOSS] = _glosses(pyarrow, arrays["label"], classes)
    names = [name for name in arrays if name not in _INTERNAL] if columns is None else list(columns)
    unknown = [name for name in names if name not in arrays]
    if unknown:
        known = [name for name in arrays if name not in _INTERNAL]
        raise ConfigError(
            f"no record has {unknown[0]!r}{did_you_mean(unknown[0], known, 'columns are ' + ', '.join(known))}"
        )
    return pyarrow.table({name: arrays[name] for name in names})


def make_frame(make: Callable[[], Any]) -> Any:
    """Return the `pyarrow.Table` that a function makes as `pandas.DataFrame`.

    Raises:
        MissingExtraError: If pandas is not installed.
    """
    try:
        import pandas  # noqa: F401 - used by pyarrow
    except ImportError:
        raise missing_extra("pandas", "pandas") from None
    return make().to_pandas()


def _is_complete(records: RecordList, name: str) -> bool:
    """Return True if every record has the key: an optional column has NaN where one lacks it."""
    values = records.column(name)
    return values.dtype.kind != "f" or not np.isnan(values).any()


def _stored(pyarrow: Any, records: Any, name: str) -> Any:
    """Return a column of the index as an Arrow array."""
    values = records.column(name)
    try:
        categories = records.categories(name)
    except KeyError:
        return pyarrow.array(values)
    return pyarrow.DictionaryArray.from_arrays(pyarrow.array(values.astype(np.int32)), pyarrow.array(categories))


def _decoded(pyarrow: Any, records: Sequence[dict], known: Any) -> dict[str, Any]:
    """Return an Arrow array for each key that is not known yet, with null where a record does not have it."""
    decoded = list(records)
    names = {name: None for record in decoded for name in record if name not in known}
    return {name: _to_array(pyarrow, [record.get(name) for record in decoded]) for name in names}


def _to_array(pyarrow: Any, values: list[Any]) -> Any:
    """Return values as an Arrow array; single values become lists if others are, and other mixtures become texts."""
    if any(isinstance(value, (list, tuple)) for value in values):
        values = [value if value is None or isinstance(value, (list, tuple)) else [value] for value in values]
    try:
        return pyarrow.array(values)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError):
        return pyarrow.array([value if value is None or isinstance(value, str) else _to_text(value) for value in values])


def _to_text(value: Any) -> str:
    return json.dumps(
        value, ensure_ascii=False, default=lambda item: item.tolist() if hasattr(item, "tolist") else str(item)
    )


def _glosses(pyarrow: Any, labels: Any, classes: Sequence[Any]) -> Any:
    return pyarrow.DictionaryArray.from_arrays(labels.cast(pyarrow.int32()), pyarrow.array([str(name) for name in classes]))
