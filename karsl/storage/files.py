"""What one file of clips holds, by the form that its name says: `.npz`, `.npy` or `.pt`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from karsl.errors import CorruptRecordError
from karsl.storage.npy import HEADER_BYTES, ShortHeader, missing_file, parse_header
from karsl.storage.npz import Member, list_members
from karsl.storage.tensors import list_tensors

Listing = tuple[list[Member], list[str]]


def list_array(path: str | Path) -> Listing:
    """The header of a `.npy` file, as one member without a key.

    Raises:
        FileNotFoundError: There is no such file.
        CorruptRecordError: Not a .npy file, one of objects, or shorter than its header says.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            head, size = stream.read(HEADER_BYTES), path.stat().st_size
            try:
                shape, _, dtype, start = parse_header(head)
            except ShortHeader as short:
                shape, _, dtype, start = parse_header(head + stream.read(short.args[0]))
    except FileNotFoundError:
        raise missing_file(path) from None
    except ValueError as error:
        what = "the file is empty" if not path.stat().st_size else f"no readable .npy file ({error})"
        raise CorruptRecordError(f"{path}: {what}; export it again or remove it") from error
    member = Member(None, shape, dtype)
    if size - start != _nbytes(member):
        return [], [f"{path}: {size - start} bytes of numbers where the header says {_nbytes(member)}; export it again"]
    return [member], []


LISTERS: dict[str, Callable[[str | Path], Listing]] = {".npz": list_members, ".npy": list_array, ".pt": list_tensors}
"""Forms of files that hold one clip or many."""


def list_clips(path: str | Path) -> Listing:
    """Headers of the clips in a file, and one sentence per problem; values are not read.

    Raises:
        FileNotFoundError: There is no such file.
        CorruptRecordError: The file is not what its name says, or its name says nothing.
    """
    lister = LISTERS.get(Path(path).suffix)
    if lister is None:
        raise CorruptRecordError(f"{path}: clips are read from {', '.join(LISTERS)} files; convert it")
    return lister(path)


def _nbytes(member: Member) -> int:
    count = member.dtype.itemsize
    for side in member.shape:
        count *= side
    return count
