"""Reads the clip of a record, wherever its locator says that it lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from xxhash import xxh3_64_intdigest

from karsl.errors import ConfigError, CorruptRecordError, did_you_mean
from karsl.storage.archive_reader import ArchiveReader
from karsl.storage.cache import ArrayCache
from karsl.storage.npy import MappedFiles
from karsl.storage.npz import Place
from karsl.storage.packed import VERIFY, Pack
from karsl.storage.readahead import FileRanges, fetch
from karsl.storage.record import canonical_clip, shape_problem
from karsl.storage.scan import PLACE
from karsl.storage.tensors import read_tensor


class ClipReader:
    """Clips by locator; decoded ones are kept up to a number of bytes, files and packs are mapped when first read.

    | a record has | its clip is |
    | --- | --- |
    | `frame_start`, `num_frames` | rows of a pack's shard, mapped |
    | `byte_start`, `num_frames`, `dtype` | a canonical array inside a mapped file; checked if the record has its `xxh3` |
    | `keypoint_key` | an array of an `.npz`, by its place (`member`) if the record has it; a tensor of a `.pt` |
    | none of these | the whole `.npy` or `.pt` file |

    A copy sent to another process starts empty; no file stays open but maps.

    Args:
        cache_bytes: Of decoded clips; 0 decodes every time.
        nonfinite: `'raise'` on NaN or infinity in a file, or `'missing'` to drop those points.
        verify: Whether checksums of packed clips are checked: `'off'`, `'first touch'`, `'always'`.
        max_maps: Mapped `.npy` files to keep.

    Raises:
        ConfigError: Another word for `nonfinite` or `verify`.
    """

    def __init__(
        self, *, cache_bytes: int = 64 << 20, nonfinite: str = "raise", verify: str = "first touch", max_maps: int = 128
    ) -> None:
        for name, given, known in (("nonfinite", nonfinite, ("raise", "missing")), ("verify", verify, VERIFY)):
            if given not in known:
                hint = did_you_mean(str(given), known, f"expected {' or '.join(map(repr, known))}")
                raise ConfigError(f"LoadKeypoints: {name}={given!r}{hint}")
        self.nonfinite, self.verify = nonfinite, verify
        self.cache = ArrayCache(cache_bytes)
        self._archives, self._maps = ArchiveReader(), MappedFiles(max_maps)
        self._packs: dict[str, Pack] = {}
        self._seen: set[int] = set()

    def read(self, record: dict, num_keypoints: int, *, fill: Callable | None = None) -> np.ndarray:
        """The clip as a float array (T, V, 4): x, y, z, score, zeros where missing; not to be edited.

        Args:
            record: Record of the clip.
            num_keypoints: V.
            fill: Compiled function for `canonical_clip`.

        Raises:
            FileNotFoundError: The file is gone.
            CorruptRecordError: It does not hold the clip that the record promises.
        """
        path = record["keypoint_path"]
        if "frame_start" in record:
            return self.pack(path, num_keypoints).checked_clip(record["frame_start"], record["num_frames"])
        if "byte_start" in record:
            return self._bytes(record, num_keypoints)
        key = record.get("keypoint_key")
        return self.cache.get((path, key, num_keypoints), lambda: self._decode(record, path, key, num_keypoints, fill))

    def pack(self, path: str, num_keypoints: int) -> Pack:
        """The shard at a path, mapped at the first call.

        Raises:
            CorruptRecordError: Its frames have another number of keypoints.
        """
        found = self._packs.get(path)
        if found is None:
            found = self._packs[path] = Pack(path, verify=self.verify)
        if found.frames.shape[1] != num_keypoints:
            raise CorruptRecordError(
                f"{path}: frames of {found.frames.shape[1]} keypoints, the skeleton has {num_keypoints}; is it right?"
            )
        return found

    def addresses(
        self, paths: Sequence[str], which: np.ndarray, starts: np.ndarray, nbytes: np.ndarray, checksums: np.ndarray
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Where runs of bytes of mapped files lie, after they were compared with their checksums, as `verify` says.

        Args:
            paths: Of files.
            which: int (N,), the file of each run.
            starts, nbytes: int64 (N,), the runs.
            checksums: uint64 (N,).

        Returns:
            int64 (N,), and the maps, which keep these addresses valid.

        Raises:
            FileNotFoundError: A file is gone.
            CorruptRecordError: A run is outside its file, or not what was written.
        """
        used, of = np.unique(which, return_inverse=True)
        held = [self._maps.bytes(paths[number]) for number in used.tolist()]
        facts = np.array([(_address(memory), len(memory)) for memory in held], np.int64)[of]
        outside = (starts < 0) | (starts + nbytes > facts[:, 1])
        if outside.any():
            first = int(np.argmax(outside))
            raise CorruptRecordError(
                f"{paths[which[first]]}: ends at byte {facts[first, 1]}, before its clips do; was it cut? Index it again"
            )
        addresses = facts[:, 0] + starts
        known = self.verify == "first touch" and self._seen.issuperset(addresses.tolist())
        if self.verify != "off" and not known:
            places = list(zip(starts.tolist(), nbytes.tolist(), strict=True))
            fetch([FileRanges(paths[n], [places[i] for i in np.flatnonzero(which == n)]) for n in used.tolist()])
            runs = zip(which.tolist(), of.tolist(), starts.tolist(), nbytes.tolist(), checksums.tolist(), strict=True)
            for number, place, start, size, checksum in runs:
                self._compare(paths[number], start, held[place][start : start + size], checksum)
        return addresses, held

    def close(self) -> None:
        """Let go of every map and every decoded clip."""
        self._maps.close()
        self._packs.clear()
        self._seen.clear()
        self.cache = ArrayCache(self.cache.max_bytes)

    def _bytes(self, record: dict, num_keypoints: int) -> np.ndarray:
        path, start, frames, kind = (record[k] for k in ("keypoint_path", "byte_start", "num_frames", "dtype"))
        held, count = self._maps.bytes(path), frames * num_keypoints * 4
        dtype = np.dtype(kind)
        if dtype.kind != "f" or start < 0 or frames < 1 or start + count * dtype.itemsize > len(held):
            raise CorruptRecordError(
                f"{path}: no clip of {frames} frames of {kind} at byte {start}, the file has {len(held)} bytes; "
                "was it cut or replaced? Index it again"
            )
        stored = held[start : start + count * dtype.itemsize]
        if "xxh3" in record and self.verify != "off":
            self._compare(path, start, stored, record["xxh3"])
        return stored.view(dtype).reshape(frames, num_keypoints, 4)

    def _compare(self, path: str, start: int, stored: np.ndarray, checksum: int) -> None:
        """Known by its address: a file that was replaced is mapped at another."""
        address = _address(stored)
        if self.verify == "first touch" and address in self._seen:
            return
        if xxh3_64_intdigest(stored.data) != checksum:
            raise CorruptRecordError(
                f"{path}: the clip at bytes {start} to {start + len(stored)} is not what was written, its checksum differs; "
                "copy the file again"
            )
        self._seen.add(address)

    def _decode(self, record: dict, path: str, key: str | None, num_keypoints: int, fill: Callable | None) -> np.ndarray:
        raw = self._raw(record, path, key)
        where = path if key is None else f"{path}: clip {key!r}"
        problem = shape_problem(raw.shape, raw.dtype, num_keypoints)
        if problem:
            raise CorruptRecordError(f"{where} {problem}; is the skeleton of the dataset right?")
        return canonical_clip(raw, where=where, nonfinite=self.nonfinite, fill=fill)

    def _raw(self, record: dict, path: str, key: str | None) -> np.ndarray:
        if path.endswith(".npy"):
            return self._maps.array(path)
        if path.endswith((".pt", ".pth")):
            return read_tensor(path, key)
        if key is None:
            raise CorruptRecordError(
                f"{path}: the record names no array in it; add 'keypoint_key', or 'frame_start' and 'num_frames' of a pack"
            )
        place = record.get(PLACE)
        return self._archives.read(path, key, None if place is None else Place(*place))

    def __reduce__(self) -> tuple:
        return _reader, (self.cache.max_bytes, self.nonfinite, self.verify, self._maps.max_open)


def _reader(cache_bytes: int, nonfinite: str, verify: str, max_maps: int) -> ClipReader:
    return ClipReader(cache_bytes=cache_bytes, nonfinite=nonfinite, verify=verify, max_maps=max_maps)


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]
