"""Tensors in `.pt` files, read with `weights_only=True`: nothing in them can run code."""

from __future__ import annotations

import math
import pickle
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import CorruptRecordError
from karsl.io.npy import BROKEN_ARCHIVE, missing_file_error
from karsl.io.npz import Member
from karsl.io.torch_zip import Key, StoredTensor, list_stored_tensors

_BROKEN = (*BROKEN_ARCHIVE, pickle.UnpicklingError, AttributeError, struct.error)


def list_tensors(path: str | Path) -> tuple[list[Member], list[str]]:
    """List the tensors of a `.pt` file: by name, by index in a list, or a bare one with key None, without their values.

    Returns:
        Members, and one sentence per problem.

    Raises:
        FileNotFoundError: If there is no such file.
        CorruptRecordError: If it is not a file of tensors.
    """
    stored = list_stored_tensors(path)
    if stored is not None:
        found: dict[Any, tuple] = {key: (t.shape, t.dtype_name) for key, t in stored.items()}
    else:
        entries = _entries(_load(path, mapped=True))
        found = {key: (getattr(t, "shape", None), str(getattr(t, "dtype", type(t).__name__))) for key, t in entries.items()}
    starts = {key: tensor.start for key, tensor in (stored or {}).items()}
    members, problems = [], []
    for key, (shape, dtype) in found.items():
        dtype = dtype.removeprefix("torch.")
        if shape is None or not isinstance(key, (str, int, type(None))):
            problems.append(f"{path}: entry {key!r} is a {dtype}; save one tensor per clip")
            continue
        # not np.dtype, which other packages extend; before NumPy 2, np.bool is missing
        known = getattr(np, "bool_" if dtype == "bool" else dtype.replace("bf", "f"), None)
        if isinstance(known, type) and issubclass(known, np.generic):
            members.append(Member(key, tuple(shape), np.dtype(known), start=starts.get(key)))
        else:
            what = "the tensor" if key is None else f"tensor {key!r}"
            problems.append(f"{path}: {what} holds torch.{dtype}, which numpy lacks; save it as float16 or float32")
    return members, problems


def read_tensor(path: str | Path, key: Key = None) -> np.ndarray:
    """Read one tensor of a `.pt` file as float32, by its key in a dict or list, or without one if it is the only one.

    Raises:
        FileNotFoundError: If there is no such file.
        CorruptRecordError: If there is no such key, or the file has more than tensors and numbers in it.
    """
    stored = list_stored_tensors(path)
    if stored is not None and key in stored and (array := _read_stored(path, stored[key])) is not None:
        return array
    content = _load(path, mapped=key is not None)
    if key is not None:
        entries = _entries(content)
        if key not in entries:
            found = "one tensor and no keys" if None in entries else ", ".join(map(str, list(entries)[:3]))
            raise CorruptRecordError(f"{path}: no tensor {key!r}; it holds {found}; if the file was replaced, index again")
        content = entries[key]
    try:
        return content.detach().float().numpy()
    except _BROKEN as error:
        raise CorruptRecordError(f"{path}: holds a {type(content).__name__}, not a tensor of numbers; save one") from error


def _read_stored(path: str | Path, tensor: StoredTensor) -> np.ndarray | None:
    """Read a tensor at its position; None if it has none."""
    if tensor.start is None or tensor.dtype is None:
        return None
    with open(path, "rb") as stream:
        array = np.fromfile(stream, tensor.dtype, math.prod(tensor.shape), offset=tensor.start)
    with np.errstate(over="ignore"):
        return array.reshape(tensor.shape).astype(np.float32, copy=False)


def _entries(content: Any) -> dict[Any, Any]:
    """Return the entries of a dict or list, or the content under None."""
    if isinstance(content, dict):
        return content
    return dict(enumerate(content)) if isinstance(content, (list, tuple)) else {None: content}


def _load(path: str | Path, *, mapped: bool) -> Any:
    import torch  # here: it takes two seconds, which processes that read only archives or packs do not spend

    if not Path(path).is_file():
        raise missing_file_error(path)
    try:
        if mapped:
            with suppress(RuntimeError):  # written before torch 1.6, which cannot be mapped
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return torch.load(path, map_location="cpu", weights_only=True)
    except _BROKEN as error:
        text = str(error).partition("\n")[0].partition(". ")[0]
        raise CorruptRecordError(
            f"{path}: no readable .pt file of tensors ({text}); save the clips alone, as tensors, with torch.save"
        ) from error
