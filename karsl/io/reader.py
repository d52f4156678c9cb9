"""Reader of clips in every kind of file, located by the keys of a record."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import partial

import numpy as np
from xxhash import xxh3_64_intdigest

from karsl.errors import ConfigError, CorruptRecordError, did_you_mean
from karsl.io.annotations import BYTE_RANGE_KEY
from karsl.io.clip import Fill, canonical_clip, shape_problem
from karsl.io.lru import LRU, nbytes
from karsl.io.npy import MappedFiles
from karsl.io.npz import ByteRange, NpzReader
from karsl.io.pack_reader import VERIFY, Pack
from karsl.io.readahead import FileRanges, read_ahead
from karsl.io.torch_files import read_tensor


class ClipReader:
    """Reader of clips with a bounded cache of decoded ones; files and packs are mapped at the first read.

    | keys of the record | clip |
    | --- | --- |
    | `frame_start`, `num_frames` | rows of a pack's shard, mapped |
    | `byte_start`, `num_frames`, `dtype` | a canonical array in a mapped file, checked if the record has its `xxh3` |
    | `keypoint_key` | an array of an `.npz`, at its byte range if the record has it (`member`); a tensor of a `.pt` |
    | none of these | the whole `.npy` or `.pt` file |

    A pickled copy is empty. Only maps stay open.

    Args:
        cache_bytes: Maximum size of the cache of decoded clips in bytes; 0 decodes every time.
        nonfinite: `'raise'` on NaN or infinity in a file, or `'missing'` to drop those points.
        verify: When checksums of packed clips are compared: `'off'`, `'first touch'`, `'always'`.
        max_maps: Maximum number of mapped `.npy` files, and of shards of packs.

    Raises:
        ConfigError: If `nonfinite` or `verify` is unknown.
    """

    def __init__(
        self, *, cache_bytes: int = 64 << 20, nonfinite: str = "raise", verify: str = "first touch", max_maps: int = 128
    ) -> None:
        for name, value, known in (("nonfinite", nonfinite, ("raise", "missing")), ("verify", verify, VERIFY)):
            if value not in known:
                hint = did_you_mean(str(value), known, f"expected {' or '.join(map(repr, known))}")
                raise ConfigError(f"LoadKeypoints: {name}={value!r}{hint}")
        self.nonfinite, self.verify = nonfinite, verify
        self.cache: LRU[np.ndarray] = LRU(cache_bytes, nbytes)
        self._archives, self._maps = NpzReader(), MappedFiles(max_maps)
        self._packs: dict[str, Pack] = {}  # the least recently used first; each has files open
        self._verified: dict[str, tuple[weakref.ref[np.ndarray], set[int]]] = {}  # a map of a path, offsets in it

    def read(self, record: dict, num_keypoints: int, *, fill: Fill | None = None) -> np.ndarray:
        """Return the clip as float (T, V, 4): x, y, z, score, zeros where missing. It must not be modified.

        See `canonical_clip` for `fill`.

        Raises:
            FileNotFoundError: If the file does not exist.
            CorruptRecordError: If it does not contain the clip that the record describes.
        """
        path = record["keypoint_path"]
        if "frame_start" in record:
            return self.pack(path, num_keypoints).checked_clip(record["frame_start"], record["num_frames"])
        if "byte_start" in record:
            return self._read_bytes(record, num_keypoints)
        key = record.get("keypoint_key")
        return self.cache.get_or_load(
            (path, key, num_keypoints), lambda: self._decode(record, path, key, num_keypoints, fill)
        )

    def pack(self, path: str, num_keypoints: int) -> Pack:
        """Return the shard at a path, mapped at the first call.

        Raises:
            CorruptRecordError: If its frames have another number of keypoints.
        """
        pack = self._packs.pop(path, None)
        if pack is None:
            pack = Pack(path, verify=self.verify)
            while len(self._packs) >= self._maps.max_open:
                del self._packs[next(iter(self._packs))]
        self._packs[path] = pack
        if pack.frames.shape[1] != num_keypoints:
            raise CorruptRecordError(
                f"{path}: {pack.frames.shape[1]} keypoints, the skeleton has {num_keypoints}; is it right?"
            )
        return pack

    def addresses(
        self, paths: Sequence[str], file_index: np.ndarray, starts: np.ndarray, sizes: np.ndarray, checksums: np.ndarray
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the memory addresses of byte ranges of mapped files, verified depending on `verify`.

        Args:
            paths: Paths of files.
            file_index: int (N,), the file of each range.
            starts, sizes: int64 (N,), the ranges.
            checksums: uint64 (N,).

        Returns:
            int64 (N,), and the maps, which keep these addresses valid.

        Raises:
            FileNotFoundError: If a file does not exist.
            CorruptRecordError: If a range is outside its file, or its checksum differs.
        """
        files, inverse = np.unique(file_index, return_inverse=True)
        names = [paths[number] for number in files.tolist()]
        maps = [self._maps.bytes(name) for name in names]
        extents = np.array([(_address(mapped), len(mapped)) for mapped in maps], np.int64)[inverse]
        outside = (starts < 0) | (starts + sizes > extents[:, 1])
        if outside.any():
            first = int(np.argmax(outside))
            raise CorruptRecordError(
                f"{paths[file_index[first]]}: ends at byte {extents[first, 1]}, before its clips do; was it cut? Index again"
            )
        if self.verify != "off":
            verified = [self._verified_starts(name, mapped) for name, mapped in zip(names, maps, strict=True)]
            clips = list(zip(inverse.tolist(), starts.tolist(), strict=True))
            if self.verify == "always" or not all(start in verified[file] for file, start in clips):
                ranges: list[list[tuple[int, int]]] = [[] for _ in names]
                for (file, start), size in zip(clips, sizes.tolist(), strict=True):
                    ranges[file].append((start, size))
                read_ahead([FileRanges(name, own) for name, own in zip(names, ranges, strict=True)])
                for (file, start), size, checksum in zip(clips, sizes.tolist(), checksums.tolist(), strict=True):
                    self._compare(names[file], start, maps[file][start : start + size], checksum, verified[file])
        return extents[:, 0] + starts, maps

    def close(self) -> None:
        """Drop all maps and decoded clips."""
        self._maps.close()
        self._packs.clear()
        self._verified.clear()
        self.cache.clear()

    def _read_bytes(self, record: dict, num_keypoints: int) -> np.ndarray:
        path, start, frames, kind = (record[k] for k in ("keypoint_path", "byte_start", "num_frames", "dtype"))
        mapped, count = self._maps.bytes(path), frames * num_keypoints * 4
        dtype = np.dtype(kind)
        if dtype.kind != "f" or start < 0 or frames < 1 or start + count * dtype.itemsize > len(mapped):
            raise CorruptRecordError(
                f"{path}: no clip of {frames} frames of {kind} at byte {start}, the file has {len(mapped)} bytes; "
                "was it cut or replaced? Index it again"
            )
        stored = mapped[start : start + count * dtype.itemsize]
        if "xxh3" in record and self.verify != "off":
            self._compare(path, start, stored, record["xxh3"], self._verified_starts(path, mapped))
        return stored.view(dtype).reshape(frames, num_keypoints, 4)

    def _verified_starts(self, path: str, mapped: np.ndarray) -> set[int]:
        """Return the offsets of the clips that were verified in a map; empty if the file was mapped again since."""
        known = self._verified.get(path)
        if known is None or known[0]() is not mapped:
            known = self._verified[path] = weakref.ref(mapped), set()
        return known[1]

    def _compare(self, path: str, start: int, stored: np.ndarray, checksum: int, verified: set[int]) -> None:
        if self.verify == "first touch" and start in verified:
            return
        if xxh3_64_intdigest(stored.data) != checksum:
            raise CorruptRecordError(
                f"{path}: the clip at bytes {start} to {start + len(stored)} is not what was written, its checksum differs; "
                "copy the file again"
            )
        verified.add(start)

    def _decode(self, record: dict, path: str, key: str | None, num_keypoints: int, fill: Fill | None) -> np.ndarray:
        raw = self._read_raw(record, path, key)
        where = path if key is None else f"{path}: clip {key!r}"
        problem = shape_problem(raw.shape, raw.dtype, num_keypoints)
        if problem:
            raise CorruptRecordError(f"{where} {problem}; is the skeleton of the dataset right?")
        clip = canonical_clip(raw, where=where, nonfinite=self.nonfinite, fill=fill)
        clip.flags.writeable = False  # the cache shares it
        return clip

    def _read_raw(self, record: dict, path: str, key: str | None) -> np.ndarray:
        suffix = path[-4:].lower()
        if suffix == ".npy":
            return self._maps.array(path)
        if suffix == ".pth" or suffix.endswith(".pt"):
            return read_tensor(path, key)
        if key is None:
            raise CorruptRecordError(
                f"{path}: the record names no array in it; add 'keypoint_key', or 'frame_start' and 'num_frames' of a pack"
            )
        position = record.get(BYTE_RANGE_KEY)
        return self._archives.read(path, key, None if position is None else ByteRange(*position))

    def __reduce__(self) -> tuple:
        new = partial(ClipReader, nonfinite=self.nonfinite, verify=self.verify, max_maps=self._maps.max_open)
        return partial(new, cache_bytes=self.cache.max_size), ()


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]
