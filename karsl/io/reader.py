"""Reader of clips in every kind of file, located by the keys of a record."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any

import numpy as np
from xxhash import xxh3_64_intdigest

from karsl.errors import ConfigError, CorruptRecordError, KarslError, did_you_mean, pluralize
from karsl.io.addresses import ClipLayout, check_integers, row_offset
from karsl.io.annotations import BYTE_RANGE_KEY
from karsl.io.array_files import NPY_SUFFIX, TORCH_SUFFIXES, ArrayReader, Key
from karsl.io.array_layout import ArrayLayout
from karsl.io.clip import Fill, canonical_clip, nonfinite_error, shape_problem
from karsl.io.lru import LRU, nbytes
from karsl.io.npy import MappedFile
from karsl.io.npz import ByteRange, read_range
from karsl.io.pack_reader import VERIFY, Pack
from karsl.io.readahead import FileRanges, read_ahead

InThreads = Callable[[Callable[[int, int], object], np.ndarray, int], None]
_DECODING = 1 << 20  # decoding a clip takes as long as writing this many bytes


class ClipReader:
    """Reader of clips with a bounded cache of decoded ones; files and packs are mapped at the first read.

    | keys of the record | clip |
    | --- | --- |
    | `frame_start`, `num_frames` | rows of a pack's shard, mapped |
    | `byte_start`, `num_frames`, `dtype` | a canonical array in a mapped file, checked if the record has its `xxh3` |
    | the same and `raw` | 3 or 4 values per keypoint in a mapped file, zeros where missing, such as a row of an `.npy` |
    | `keypoint_index` | one clip of the stack that the next keys locate; or a whole number as `keypoint_key` |
    | `keypoint_key` | an array of an `.npz`, at its byte range if the record has it (`member`); a tensor of a `.pt` |
    | none of these | the whole `.npy` or `.pt` file; a folder with one `.npy` per frame |

    Arrays of the last three rows are converted by the layout of the data set, if it has one.

    A pickled copy is empty. Only maps stay open.

    Args:
        cache_bytes: Maximum size of the cache of decoded clips in bytes; 0 decodes every time.
        nonfinite: `'raise'` on NaN or infinity in a file, or `'missing'` to drop those points.
        verify: When checksums of packed clips are compared: `'off'`, `'first touch'`, `'always'`. Addresses and lengths are
            always checked, and values of `raw` clips at the first touch.
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
        self._arrays = ArrayReader(max_maps)
        self._maps = self._arrays.maps
        self._packs: dict[str, Pack] = {}  # the least recently used first; each has files open
        self._verified: dict[str, tuple[tuple, set[int]]] = {}  # state of a file, offsets of clips in it

    def read(
        self, record: dict, num_keypoints: int, *, layout: ArrayLayout | None = None, fill: Fill | None = None
    ) -> np.ndarray:
        """Return the clip as float (T, V, 4): x, y, z, score, zeros where missing. It must not be modified.

        Args:
            record: Keys that locate the clip, see the class.
            num_keypoints: V.
            layout: Layout of arrays in files; None for (T, V, 3 or 4).
            fill: See `canonical_clip`.

        Raises:
            FileNotFoundError: If the file does not exist.
            CorruptRecordError: If it does not contain the clip that the record describes.
        """
        path = record.get("keypoint_path")
        if not isinstance(path, str):
            raise CorruptRecordError(f"keypoint_path={path!r} of a record is not the path of a file; index the clips again")
        if "frame_start" in record:
            start, frames = check_integers(path, frame_start=record["frame_start"], num_frames=record.get("num_frames"))
            return self.pack(path, num_keypoints).checked_clip(start, frames)
        if "byte_start" in record:
            return self._read_bytes(record, num_keypoints)
        return self.cache.get_or_load(
            _cache_key(record, num_keypoints, layout), lambda: self._decode(record, num_keypoints, layout, fill)
        )

    def read_batch(
        self,
        records: Sequence[dict],
        num_keypoints: int,
        *,
        layout: ArrayLayout | None = None,
        fill: Fill | None = None,
        in_threads: InThreads,
    ) -> list[np.ndarray]:
        """Return clips as `read` does. Members of archives are decoded in threads, each once.

        Args:
            records: Keys that locate the clips, see the class.
            num_keypoints, layout, fill: See `read`.
            in_threads: `in_threads(work, ends, nbytes)` calls `work` in threads, more of them for more bytes.

        Raises:
            FileNotFoundError, CorruptRecordError: See `read`.
        """
        keys = [_cache_key(record, num_keypoints, layout) if _is_member(record, layout) else None for record in records]
        clips = {key: clip for key in keys if key and (clip := self.cache.get(key)) is not None}
        missing = {key: record for key, record in zip(keys, records, strict=True) if key and key not in clips}
        decoded: list[np.ndarray | None] = [None] * len(missing)
        waiting = iter(list(enumerate(missing.values())))

        def decode(*_: int) -> None:
            for number, record in waiting:  # the next one, since members differ in size
                with suppress(KarslError, OSError):  # `read` raises it again, or finds a member that was moved
                    decoded[number] = self._decode_member(record, num_keypoints, layout, fill)

        if missing:
            _keep_freed_memory()
            in_threads(decode, np.arange(len(missing) + 1), len(missing) * _DECODING)
        for key, clip in zip(missing, decoded, strict=True):  # in the order of the batch, whichever thread was first
            if clip is not None:
                clips[key] = clip
                self.cache.put(key, clip)
        return [
            clips[key] if key in clips else self.read(record, num_keypoints, layout=layout, fill=fill)
            for key, record in zip(keys, records, strict=True)
        ]

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

    def map_files(self, paths: Sequence[str]) -> dict[str, MappedFile]:
        """Return the bytes of files, mapped at the first call and again if a file was replaced, by path.

        Raises:
            FileNotFoundError: If a file does not exist.
            CorruptRecordError: If a file is empty.
        """
        return {path: self._maps.file(path) for path in paths}

    def verify_clips(
        self,
        files: Mapping[str, MappedFile],
        which: np.ndarray,
        starts: np.ndarray,
        lengths: np.ndarray,
        layout: ClipLayout,
        checksums: np.ndarray | None,
    ) -> dict[int, np.ndarray]:
        """Verify clips that are inside their files: by checksum, depending on `verify`, or that raw values are finite.

        Args:
            files: See `map_files`.
            which: int (N,), number of the file of each clip.
            starts, lengths: int64 (N,), first byte and number of frames of each clip.
            layout: Layout of the clips.
            checksums: uint64 (N,); None for raw clips.

        Returns:
            Copies of raw clips without the keypoints that are not finite, by number; only with `nonfinite='missing'`.

        Raises:
            CorruptRecordError: If a checksum differs, or a raw value is not finite.
        """
        if self.verify == "off" and checksums is not None:
            return {}
        known = [self._verified_starts(path, file) for path, file in files.items()]
        clips = list(zip(which.tolist(), starts.tolist(), strict=True))
        if self.verify != "always" and all(start in known[file] for file, start in clips):
            return {}
        sizes, paths, maps = (lengths * layout.frame_bytes).tolist(), list(files), [file.data for file in files.values()]
        ranges: list[list[tuple[int, int]]] = [[] for _ in paths]
        for (file, start), size in zip(clips, sizes, strict=True):
            ranges[file].append((start, size))
        read_ahead([FileRanges(path, own) for path, own in zip(paths, ranges, strict=True)])
        repaired = {}
        for n, ((file, start), size) in enumerate(zip(clips, sizes, strict=True)):
            stored = maps[file][start : start + size]
            if checksums is not None:
                self._compare(paths[file], start, stored, int(checksums[n]), known[file])
            elif (clip := self._finite_clip(paths[file], start, stored, layout, known[file])) is not None:
                repaired[n] = clip
        return repaired

    def close(self) -> None:
        """Drop all maps and decoded clips."""
        self._arrays.close()
        self._packs.clear()
        self._verified.clear()
        self.cache.clear()

    def _read_bytes(self, record: dict, num_keypoints: int) -> np.ndarray:
        path = record["keypoint_path"]
        start, frames = check_integers(path, byte_start=record["byte_start"], num_frames=record.get("num_frames"))
        layout, file = ClipLayout.parse(record, num_keypoints, path), self._maps.file(path)
        if row_offset(start, frames, 1, layout.frame_bytes, len(file.data)) < 0:
            raise CorruptRecordError(
                f"{path}: no clip of {pluralize(frames, 'frame')} of {layout.dtype} at byte "
                f"{start}, the file has {len(file.data)} "
                "bytes; was it cut or replaced? Index it again"
            )
        stored, known = file.data[start : start + frames * layout.frame_bytes], self._verified_starts(path, file)
        if layout.raw is not None:
            return self.cache.get_or_load(
                (path, start, frames, layout, file.state), lambda: self._convert(path, start, stored, layout, known)
            )
        if "xxh3" in record and self.verify != "off":
            self._compare(path, start, stored, record["xxh3"], known)
        return stored.view(layout.dtype).reshape(frames, num_keypoints, 4)

    def _convert(self, path: str, start: int, stored: np.ndarray, layout: ClipLayout, known: set[int]) -> np.ndarray:
        """Return a raw clip as a canonical one."""
        clip = self._finite_clip(path, start, stored, layout, known)
        clip = canonical_clip(layout.view(stored) if clip is None else clip)
        clip.flags.writeable = False  # the cache shares it
        return clip

    def _finite_clip(
        self, path: str, start: int, stored: np.ndarray, layout: ClipLayout, known: set[int]
    ) -> np.ndarray | None:
        """Return None for a raw clip of finite values, else a copy with zeros at the keypoints that have others.

        Raises:
            CorruptRecordError: If a value is not finite, unless `nonfinite='missing'`.
        """
        if self.verify != "always" and start in known:
            return None
        clip = layout.view(stored)
        finite = np.isfinite(clip).all(-1)
        if finite.all():
            known.add(start)
            return None
        if self.nonfinite == "raise":
            raise nonfinite_error(f"{path}: the clip at bytes {start} to {start + len(stored)}", clip)
        return np.where(finite[..., None], clip, clip.dtype.type(0))

    def _verified_starts(self, path: str, file: MappedFile) -> set[int]:
        """Return the offsets of the clips that were verified in a file; empty if it was replaced since."""
        known = self._verified.get(path)
        if known is None or known[0] != file.state:
            known = self._verified[path] = file.state, set()
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

    def _decode(self, record: dict, num_keypoints: int, layout: ArrayLayout | None, fill: Fill | None) -> np.ndarray:
        path = record["keypoint_path"]
        key, index = self._arrays.resolve(path, record.get("keypoint_key"), record.get("keypoint_index"))
        where = path if key is None else f"{path}: clip {key!r}"
        where = where if index is None else f"{where}, clip {index}"
        return self._to_clip(self._read_raw(record, path, key, index, layout), where, num_keypoints, layout, fill)

    def _decode_member(
        self, record: dict, num_keypoints: int, layout: ArrayLayout | None, fill: Fill | None
    ) -> np.ndarray | None:
        """Return the clip at a byte range, in the memory that it was decompressed to where possible.

        Threads run it, so it uses no cache.

        Returns:
            None if `read` is needed, because the archive has changed or a value may not be finite.
        """
        path, key = record["keypoint_path"], record["keypoint_key"]
        raw = read_range(path, key, ByteRange.parse(record[BYTE_RANGE_KEY], path))
        if raw is None:
            return None
        if layout is None and fill is not None and _can_be_clip(raw, num_keypoints):
            if not fill(raw, raw):
                return None  # `read` names the value that is not finite
            raw.flags.writeable = False  # the cache shares it
            return raw
        return self._to_clip(raw, f"{path}: clip {key!r}", num_keypoints, layout, fill)

    def _to_clip(
        self, raw: Any, where: str, num_keypoints: int, layout: ArrayLayout | None, fill: Fill | None
    ) -> np.ndarray:
        """Convert the array of a clip, or its arrays by group, to the canonical clip."""
        if layout is not None:
            clip = layout.to_clip(raw, where=where, nonfinite=self.nonfinite, fill=fill)
        else:
            problem = shape_problem(raw.shape, raw.dtype, num_keypoints)
            if problem:
                raise CorruptRecordError(f"{where} {problem}; is the skeleton of the dataset right?")
            clip = canonical_clip(raw, where=where, nonfinite=self.nonfinite, fill=fill)
        clip.flags.writeable = False  # the cache shares it
        return clip

    def _read_raw(self, record: dict, path: str, key: Key, index: int | None, layout: ArrayLayout | None) -> Any:
        """Return the array of a clip, or its arrays by group if the layout has several."""
        ndim = 3 if layout is None else layout.clip_ndim
        names = {} if layout is None else dict(layout.arrays)
        if names:
            return {group: self._read_array(record, path, name, index, ndim) for group, name in names.items()}
        if key is None and not path.lower().endswith((NPY_SUFFIX, *TORCH_SUFFIXES)) and not os.path.isdir(path):
            raise CorruptRecordError(
                f"{path}: the record names no array in it; add 'keypoint_key', or 'frame_start' and 'num_frames' of a pack"
            )
        return self._read_array(record, path, key, index, ndim)

    def _read_array(self, record: dict, path: str, key: Key, index: int | None, ndim: int) -> np.ndarray:
        if index is not None:
            return self._arrays.read_clip(path, key, index, ndim)
        position = record.get(BYTE_RANGE_KEY)
        return self._arrays.read(path, key, position=None if position is None else ByteRange.parse(position, path))

    def __reduce__(self) -> tuple:
        new = partial(ClipReader, nonfinite=self.nonfinite, verify=self.verify, max_maps=self._maps.max_open)
        return partial(new, cache_bytes=self.cache.max_size), ()


@cache
def _keep_freed_memory() -> None:
    """Have glibc keep the memory of clips that were freed: a page fault per 14 KB of each batch otherwise, in threads.

    It raises its threshold when a large block is freed, which was never written to.
    """
    np.empty(24 << 20, np.uint8)


def _cache_key(record: Mapping, num_keypoints: int, layout: ArrayLayout | None) -> Hashable:
    """Return the key of a clip that is decoded from a file in the cache."""
    return *(record.get(name) for name in ("keypoint_path", "keypoint_key", "keypoint_index")), num_keypoints, layout


def _is_member(record: Mapping, layout: ArrayLayout | None) -> bool:
    """Return True if a record is one array of an archive at a byte range."""
    path, key = record.get("keypoint_path"), record.get("keypoint_key")
    other = {"frame_start", "byte_start", "keypoint_index"} & record.keys() or (layout is not None and layout.arrays)
    return BYTE_RANGE_KEY in record and isinstance(path, str) and isinstance(key, str) and not other


def _can_be_clip(raw: np.ndarray, num_keypoints: int) -> bool:
    """Return True if a clip has room in the memory of its array, which no other array has."""
    is_plain = raw.dtype == np.float32 and raw.flags.writeable and raw.flags.c_contiguous
    return is_plain and raw.ndim == 3 and raw.shape[1:] == (num_keypoints, 4) and len(raw) > 0
