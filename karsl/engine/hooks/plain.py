"""Any training state as values that weights-only loading of torch accepts, and back."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

# Marks a dict that stands for a richer object. No config or metainfo uses this key.
KIND = "__karsl_kind__"


class NotState(TypeError):
    """A value that is no state: a function, a module, a handle."""


def to_plain(value: Any, dropped: list[str], where: str = "") -> Any:
    """Turn state into tensors, numbers, strings, dicts, lists and tuples.

    History buffers, numpy arrays and bytes become marked dicts that `from_plain` turns back; numpy scalars, paths and dict
    subclasses become their built-in relatives. An entry of a dict that is no state is left out.

    Args:
        value: What to convert; not changed.
        dropped: Receives the dotted place of each entry left out.
        where: Dotted place of `value`.

    Returns:
        The plain value; tensors are the same objects.

    Raises:
        NotState: `value` itself is no state.

    Example:
        >>> dropped = []
        >>> to_plain({"lr": np.float64(0.5), "hook": print}, dropped), dropped
        ({'lr': 0.5}, ['hook'])
    """
    if value is None or isinstance(value, (torch.Tensor, torch.Size, torch.dtype, bool)):
        return value
    if isinstance(value, (bytes, bytearray)):  # weights-only loading refuses the type
        return {KIND: "bytes", "data": torch.tensor(list(value), dtype=torch.uint8)}
    if isinstance(value, np.generic):
        return value.item()
    base = next((base for base in (int, float, complex, str) if isinstance(value, base)), None)
    if base is not None:  # a subclass, an IntEnum say, becomes its built-in
        return base(value)
    if isinstance(value, HistoryBuffer):
        log, count = value.data
        parts = {"log": torch.from_numpy(np.array(log)), "count": torch.from_numpy(np.array(count))}
        return {KIND: "history", **parts, "max_length": int(value.max_length)}
    if isinstance(value, np.ndarray):
        return _plain_array(value, where)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        kind = OrderedDict if isinstance(value, OrderedDict) else dict
        return kind(_plain_items(value, dropped, where))
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        items = [to_plain(item, dropped, f"{where}[{i}]") for i, item in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else set(items) if isinstance(value, (set, frozenset)) else items
    raise NotState(f"{where} holds a {type(value).__name__}")


def _plain_items(value: Mapping, dropped: list[str], where: str) -> Iterator[tuple[Any, Any]]:
    for key, item in value.items():
        place = f"{where}.{key}" if where else str(key)
        try:
            yield to_plain(key, dropped, place), to_plain(item, dropped, place)
        except NotState:
            dropped.append(place)


def _plain_array(value: np.ndarray, where: str) -> dict[str, Any]:
    if value.dtype.kind in "biufc" and value.dtype.isnative:
        return {KIND: "array", "data": torch.from_numpy(np.array(value))}
    if value.dtype.kind in "US":
        return {KIND: "array", "data": value.tolist(), "dtype": value.dtype.str}
    raise NotState(f"{where} holds an array of {value.dtype}")


def from_plain(value: Any) -> Any:
    """Undo `to_plain`: marked dicts become history buffers, arrays and bytes again.

    Example:
        >>> from_plain(to_plain({"a": np.array([1, 2])}, []))
        {'a': array([1, 2])}
    """
    if isinstance(value, Mapping):
        kind = value.get(KIND)
        if kind == "history":
            return _history(value)
        if kind == "bytes":
            return bytes(value["data"].tolist())
        if kind == "array":
            data = value["data"]
            return data.cpu().numpy() if isinstance(data, torch.Tensor) else np.array(data, dtype=value["dtype"])
        kind_of_dict = OrderedDict if isinstance(value, OrderedDict) else dict
        return kind_of_dict((key, from_plain(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        return type(value)(from_plain(item) for item in value)
    return value


def _history(value: Mapping) -> HistoryBuffer:
    log, count = value["log"].cpu().numpy(), value["count"].cpu().numpy()
    return HistoryBuffer(log, count, value["max_length"])
