"""Tensors in `.pt` files, read with `weights_only=True`: nothing in them can run code."""

from __future__ import annotations

import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import CorruptRecordError
from karsl.io.npy import BROKEN_ARCHIVE, missing_file_error
from karsl.io.npz import Member

_BROKEN = (*BROKEN_ARCHIVE, pickle.UnpicklingError, AttributeError)


def list_tensors(path: str | Path) -> tuple[list[Member], list[str]]:
    """List the tensors of a `.pt` file, a bare one with key None, and one sentence per problem. Values are not read.

    Raises:
        FileNotFoundError: If there is no such file.
        CorruptRecordError: If it is not a file of tensors.
    """
    content = _load(path, mapped=True)
    members, problems = [], []
    for key, value in content.items() if isinstance(content, dict) else [(None, content)]:
        shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
        if shape is None or (key is not None and not isinstance(key, str)):
            problems.append(f"{path}: entry {key!r} is a {type(value).__name__}; save one tensor per clip")
            continue
        try:
            members.append(Member(key, tuple(shape), np.dtype(str(dtype).removeprefix("torch.").replace("bf", "f"))))
        except TypeError:
            what = "the tensor" if key is None else f"tensor {key!r}"
            problems.append(f"{path}: {what} holds {dtype}, which numpy lacks; save it as float16 or float32")
    return members, problems


def read_tensor(path: str | Path, key: str | None = None) -> np.ndarray:
    """Read one tensor of a `.pt` file as float32, by its key in a dict, or without one if the file is one tensor.

    Raises:
        FileNotFoundError: If there is no such file.
        CorruptRecordError: If there is no such key, or the file has more than tensors and numbers in it.
    """
    content = _load(path, mapped=key is not None)
    if key is not None:
        if not isinstance(content, dict) or key not in content:
            found = ", ".join(map(str, list(content)[:3])) if isinstance(content, dict) else "one tensor and no keys"
            raise CorruptRecordError(f"{path}: no tensor {key!r}; it holds {found}; if the file was replaced, index again")
        content = content[key]
    try:
        return content.detach().float().numpy()
    except _BROKEN as error:
        raise CorruptRecordError(f"{path}: holds a {type(content).__name__}, not a tensor of numbers; save one") from error


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
