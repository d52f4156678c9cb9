"""Arrays in files of any kind: one array, or one clip of a stack, without reading the rest of the file."""

from __future__ import annotations

import math
import os
from functools import partial
from pathlib import Path

import numpy as np

from karsl.errors import CorruptRecordError
from karsl.io.file_list import has_suffix, visible_files
from karsl.io.hdf5 import Dataset, list_datasets, read_dataset
from karsl.io.lru import LRU, nbytes
from karsl.io.npy import BROKEN, MappedFiles
from karsl.io.npz import ByteRange, NpzReader, list_members, read_member
from karsl.io.rows import StoredArray, locate_array
from karsl.io.torch_files import list_tensors, read_tensor

Key = str | int | None

NPY_SUFFIX, TORCH_SUFFIXES, HDF5_SUFFIXES = ".npy", (".pt", ".pth"), (".h5", ".hdf5")
LENGTHS, OFFSETS = "lengths", "offsets"
"""Names of the arrays with the numbers of frames, or the first frame, of the clips in another array."""
_CACHE_BYTES = 64 << 20
_MAX_FILES = 4096


def frame_files(folder: str | Path) -> list[Path]:
    """Return the frame files of a clip in numeric order: 9.npy before 10.npy.

    Raises:
        CorruptRecordError: If a file is not named by a number, or a number is repeated or skipped.
    """
    folder = Path(folder)
    files = [p for p in visible_files(folder) if has_suffix(p.name, (".npy",))]
    odd = sorted(p.name for p in files if not p.stem.isdecimal())
    if odd:
        raise CorruptRecordError(f"{folder}: {odd[0]!r} is not named by a frame number; rename it or move it away")
    numbered = sorted((int(p.stem), p.name) for p in files)
    numbers = [number for number, _ in numbered]
    gaps = [b for a, b in zip(numbers, numbers[1:], strict=False) if b != a + 1]
    if gaps:
        raise CorruptRecordError(f"{folder}: frame {gaps[0]} does not follow its predecessor; is a frame lost or repeated?")
    return [folder / name for _, name in numbered]


def read_frames(folder: str | Path) -> np.ndarray:
    """Return the frames of a clip that is a folder with one `.npy` per frame, stacked on a new first axis.

    Raises:
        CorruptRecordError: If there is no frame, one cannot be read, or their shapes differ.
    """
    frames = []
    for path in frame_files(folder):
        try:
            frames.append(np.load(path, allow_pickle=False))
        except BROKEN as error:
            raise CorruptRecordError(f"{path}: not a readable .npy file ({error}); export it again") from error
        if frames[-1].shape != frames[0].shape:
            raise CorruptRecordError(f"{path}: shape {frames[-1].shape}, the first frame has {frames[0].shape}")
    if not frames:
        raise CorruptRecordError(f"{folder}: no frames left; was the folder changed after it was listed?")
    return np.stack(frames)


def read_offsets(path: str | Path, key: Key, keys: tuple[Key, ...]) -> np.ndarray | None:
    """Return the first frame of each clip and the end of the last, int64 (N + 1,), if another array lists them, else None.

    For an array of an archive this is `<key>_lengths`, `<key>_offsets`, `lengths` or `offsets` there; for `data.npy` it is
    `data_lengths.npy`, `data_offsets.npy`, `lengths.npy` or `offsets.npy` next to it.

    Args:
        path: File of the clips.
        key: Their array.
        keys: All arrays of the file.

    Raises:
        CorruptRecordError: If the companion is not a list of ascending numbers.
    """
    if key is not None:
        name = next((name for name in _companions(str(key)) if name in keys and name != key), None)
        if name is None:
            return None
        return _to_offsets(read_array(path, name), f"{path}: array {name!r}", is_offsets=name.endswith(OFFSETS))
    folder, file = os.path.split(path)
    stem, suffix = os.path.splitext(file)
    for name in _companions(stem) if suffix.lower() == NPY_SUFFIX else ():
        sibling = os.path.join(folder, name + suffix)
        if name != stem and os.path.isfile(sibling):
            return _to_offsets(read_array(sibling), sibling, is_offsets=name.endswith(OFFSETS))
    return None


def _companions(name: str) -> tuple[str, ...]:
    return f"{name}_{LENGTHS}", f"{name}_{OFFSETS}", LENGTHS, OFFSETS


def _to_offsets(values: np.ndarray, where: str, *, is_offsets: bool) -> np.ndarray:
    if values.ndim != 1 or values.dtype.kind not in "iu" or not len(values):
        raise CorruptRecordError(f"{where}: {values.dtype} {values.shape}; expected one whole number per clip")
    numbers = values.astype(np.int64)
    offsets = numbers if is_offsets else np.concatenate([[0], np.cumsum(numbers)])
    if offsets[0] != 0 or (np.diff(offsets) < 1).any():
        raise CorruptRecordError(f"{where}: clips of fewer than 1 frames; expected lengths, or offsets from 0 to the end")
    return offsets


def read_array(path: str | Path, key: Key = None) -> np.ndarray:
    """Read a whole array of a file.

    Raises:
        FileNotFoundError: If there is no such file.
        CorruptRecordError: If there is no such array, or it cannot be read.
    """
    suffix = Path(path).suffix.lower()
    if suffix == NPY_SUFFIX:
        return MappedFiles(1).array(str(path))
    if suffix in TORCH_SUFFIXES:
        stored = locate_array(path, key)  # of the dtype in the file; torch_files gives float32
        if stored is None:
            return read_tensor(path, key)
        return np.fromfile(path, stored.dtype, math.prod(stored.shape), offset=stored.start).reshape(stored.shape)
    return read_dataset(path, str(key)) if suffix in HDF5_SUFFIXES else read_member(path, str(key))


def list_keys(path: str | Path) -> tuple[Key, ...]:
    """Return the keys of the arrays of a file, None for a file that is one array.

    Raises:
        FileNotFoundError: If there is no such file.
        CorruptRecordError: If it cannot be read.
    """
    suffix = Path(path).suffix.lower()
    if suffix == NPY_SUFFIX:
        return (None,)
    list_file = list_tensors if suffix in TORCH_SUFFIXES else list_datasets if suffix in HDF5_SUFFIXES else list_members
    return tuple(member.key for member in list_file(path)[0])


class ArrayReader:
    """Reader of arrays, and of clips in stacks, with a bounded number of open maps.

    A stack that is not stored as one block, compressed for example, is decoded once and cached. A pickled copy is empty.

    Args:
        max_maps: Maximum number of mapped files.
    """

    def __init__(self, max_maps: int = 128) -> None:
        self.maps, self._archives = MappedFiles(max_maps), NpzReader()
        self._located: LRU[tuple[tuple, StoredArray | None]] = LRU(_MAX_FILES)
        self._decoded: LRU[np.ndarray] = LRU(_CACHE_BYTES, nbytes)
        self._offsets: LRU[tuple[np.ndarray | None]] = LRU(_MAX_FILES)
        self._keys: LRU[tuple[Key, ...]] = LRU(_MAX_FILES)

    def read(self, path: str, key: Key = None, *, position: ByteRange | None = None) -> np.ndarray:
        """Return an array of a file, or the frames of a clip that is a folder; it must not be modified.

        Args:
            path: File or folder.
            key: Array of the file, None if it is one array.
            position: Where an array of an archive was when it was indexed.

        Raises:
            FileNotFoundError: If there is no such file.
            CorruptRecordError: If there is no such array, or it cannot be read.
        """
        suffix = os.path.splitext(path)[1].lower()
        if suffix == NPY_SUFFIX:
            return self.maps.array(path)
        if suffix in TORCH_SUFFIXES:
            return read_tensor(path, key)
        if suffix in HDF5_SUFFIXES:
            return read_dataset(path, str(key))
        if os.path.isdir(path):
            return read_frames(path)
        return self._archives.read(path, str(key), position)

    def read_clip(self, path: str, key: Key, index: int, clip_ndim: int) -> np.ndarray:
        """Return one clip of a stack: a row, or the frames that a companion lists.

        Args:
            path, key: See `read`.
            index: Number of the clip.
            clip_ndim: Number of axes of a clip.

        Raises:
            FileNotFoundError: If there is no such file.
            CorruptRecordError: If there is no such clip, or it cannot be read.
        """
        stack, where = self._open(path, key), path if key is None else f"{path}: array {key!r}"
        if stack.ndim not in (clip_ndim, clip_ndim + 1):
            raise CorruptRecordError(f"{where} has shape {stack.shape}; a stack of clips has {clip_ndim + 1} axes")
        offsets = self._offsets.get_or_load((path, key), lambda: (read_offsets(path, key, list_keys(path)),))[0]
        if offsets is None and stack.ndim == clip_ndim:
            raise CorruptRecordError(f"{where} is one clip, {stack.shape}, and no stack; remove keypoint_index")
        count = len(stack) if offsets is None else len(offsets) - 1
        if not 0 <= index < count:
            raise CorruptRecordError(f"{where}: no clip {index}, it has {count}; if the file was replaced, index it again")
        if offsets is None:
            return stack[index]
        first, end = offsets[index : index + 2].tolist()
        if stack.ndim > clip_ndim:
            return stack[index][: end - first]
        if end > len(stack):
            raise CorruptRecordError(f"{where}: clip {index} ends at frame {end} of {len(stack)}; are the lengths its own?")
        return stack[first:end]

    def resolve(self, path: str, key: Key, index: int | None) -> tuple[Key, int | None]:
        """Return key and index of a record: a whole number as key of a file that is one stack is an index."""
        if not isinstance(key, int) or index is not None:
            return key, index
        suffix = os.path.splitext(path)[1].lower()
        keys = self._keys.get_or_load(path, lambda: list_keys(path))
        if len(keys) == 1 and (suffix != ".npz" or str(key) not in keys):
            return keys[0], key
        return (key if suffix in TORCH_SUFFIXES else str(key)), None

    def close(self) -> None:
        """Drop all maps and decoded stacks."""
        self.maps.close()
        for cache in (self._located, self._decoded, self._offsets, self._keys):
            cache.clear()

    def _open(self, path: str, key: Key) -> np.ndarray | Dataset:
        """Return a stack as a view of its mapped file, rows of an HDF5 file, or decoded."""
        suffix = os.path.splitext(path)[1].lower()
        if suffix == NPY_SUFFIX:
            return self.maps.array(path)
        if suffix in HDF5_SUFFIXES:
            return Dataset(path, str(key))
        mapped, state = self.maps.file(path)
        known = self._located.get((path, key))
        if known is None or known[0] != state:
            known = state, locate_array(path, key)
            self._located.put((path, key), known)
        if known[1] is None:
            return self._decoded.get_or_load((path, key, state), lambda: self.read(path, key))
        start, shape, dtype = known[1]
        return np.ndarray(shape, dtype, mapped.data, start)

    def __reduce__(self) -> tuple:
        return partial(ArrayReader, self.maps.max_open), ()
