"""Clips inside `.pt` files, read as tensors only: nothing in them can run code."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import CorruptRecordError
from karsl.storage.npy import BROKEN_ARCHIVE, missing_file
from karsl.storage.npz import Member

_BROKEN = (*BROKEN_ARCHIVE, pickle.UnpicklingError, AttributeError)


def list_tensors(path: str | Path) -> tuple[list[Member], list[str]]:
    """What a `.pt` file holds: one tensor, or a dict of them; their bytes stay on the disk.

    Returns:
        Members, the one of a bare tensor with key None; and one sentence per problem.

    Raises:
        FileNotFoundError: There is no such file.
        CorruptRecordError: Not a file of tensors.
    """
    held = _load(path, mapped=True)
    members, problems = [], []
    for key, value in held.items() if isinstance(held, dict) else [(None, held)]:
        shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
        if shape is None or (key is not None and not isinstance(key, str)):
            problems.append(f"{path}: entry {key!r} is a {type(value).__name__}; save one tensor a clip")
            continue
        try:
            members.append(Member(key, tuple(shape), np.dtype(str(dtype).removeprefix("torch.").replace("bf", "f"))))
        except TypeError:
            what = "the tensor" if key is None else f"tensor {key!r}"
            problems.append(f"{path}: {what} holds {dtype}, which numpy lacks; save it as float16 or float32")
    return members, problems


def read_tensor(path: str | Path, key: str | None = None) -> np.ndarray:
    """One tensor of a `.pt` file.

    Args:
        path: As `torch.save` wrote it.
        key: Of a dict; None where the file is one tensor.

    Raises:
        FileNotFoundError: There is no such file.
        CorruptRecordError: No such key, or more than tensors and numbers is in it.
    """
    held = _load(path, mapped=key is not None)
    if key is not None:
        if not isinstance(held, dict) or key not in held:
            some = ", ".join(map(str, list(held)[:3])) if isinstance(held, dict) else "one tensor and no keys"
            raise CorruptRecordError(f"{path}: no tensor {key!r}; it holds {some}; if the file was replaced, index again")
        held = held[key]
    try:
        return held.detach().float().numpy()
    except _BROKEN as error:
        raise CorruptRecordError(f"{path}: holds a {type(held).__name__}, not a tensor of numbers; save one") from error


def _load(path: str | Path, *, mapped: bool) -> Any:
    import torch  # loaded for the files that need it: packing archives takes none of its two seconds

    if not Path(path).is_file():
        raise missing_file(path)
    try:
        return _opened(torch, path, mapped)
    except _BROKEN as error:
        text = str(error).partition("\n")[0].partition(". ")[0]
        raise CorruptRecordError(
            f"{path}: no readable .pt file of tensors ({text}); save the clips alone, as tensors, with torch.save"
        ) from error


def _opened(torch: Any, path: str | Path, mapped: bool) -> Any:
    if mapped:
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # written before torch 1.6, which cannot be mapped
            pass
    return torch.load(path, map_location="cpu", weights_only=True)
