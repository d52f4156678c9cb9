"""Reader of packs: all frames of a corpus in mapped `.npy` shards, so that a clip is a slice of one.

| file | content |
| --- | --- |
| `frames-00000.npy` | float16 or float32 (F, V, 4): x, y, z, score; four zeros where missing |
| `presence-00000.npy` | uint8 (F, G): 0 if no point of the group is present, 1 if all are, 2 if some are |
| `clips-00000.npy` | uint64 (N, 3) by columns: first frame, number of frames and checksum of each clip |
| `annotations.json` | OpenMMLab's format; `keypoint_path`, `frame_start` and `num_frames` of a record are its slice |
| `manifest.json` | sizes and checksums of all of these, see `karsl.pack.manifest` |
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from xxhash import xxh3_64

from karsl.errors import ConfigError, CorruptRecordError
from karsl.io.addresses import row_offset
from karsl.io.annotations import MANIFEST, check_pack_version
from karsl.io.npy import BROKEN
from karsl.io.readahead import FileRanges, read_ahead

ANNOTATIONS = "annotations.json"
VERIFY = ("off", "first touch", "always")
FIRST, LENGTH, CHECKSUM = 0, 1, 2  # columns of clips-00000.npy


def shard_filename(number: int) -> str:
    """Return the name of a shard's file of frames.

    Example:
        >>> shard_filename(3), sibling_filename(shard_filename(3), "clips")
        ('frames-00003.npy', 'clips-00003.npy')
    """
    return f"frames-{number:05d}.npy"


def sibling_filename(frames: str, kind: str) -> str:
    """Return the name of another file of the same shard, with `kind` 'presence' or 'clips'."""
    return frames.replace("frames", kind, 1)


def list_shards(folder: str | Path) -> list[Path]:
    """Return the paths of the frames of every shard in a folder, by number."""
    return sorted(Path(folder).glob("frames-*.npy"))


class Pack:
    """One shard of a pack, mapped. A pickled copy maps the files again.

    Args:
        path: Path of its frames, such as `packed/frames-00000.npy`.
        verify: When `verify` compares checksums: `'off'`, `'first touch'` (once per process), `'always'`.

    Raises:
        FileNotFoundError: If there is no such file.
        CorruptRecordError: If the file does not contain keypoints, or the files do not fit together.
        PackError: If the manifest next to it is of another version.
        ConfigError: If `verify` is unknown.
    """

    def __init__(self, path: str | Path, *, verify: str = "off") -> None:
        if verify not in VERIFY:
            raise ConfigError(f"verify={verify!r} of a pack; expected one of {', '.join(map(repr, VERIFY))}")
        self.path, self.mode = Path(path), verify
        check_pack_version(self.path.parent)
        presence = self.path.with_name(sibling_filename(self.path.name, "presence"))
        self._maps = [_open_map(self.path), _open_map(presence)]
        self.frames, self.presence = (m.view(np.ndarray) for m in self._maps)  # indexing np.memmap objects is slow
        shape = self.frames.shape
        if len(shape) != 3 or shape[2] != 4 or self.frames.dtype not in (np.float16, np.float32):
            raise CorruptRecordError(f"{path}: holds {self.frames.dtype} {shape}; a pack's frames are float (F, V, 4)")
        if self.presence.dtype != np.uint8 or self.presence.shape[:1] != shape[:1]:
            raise CorruptRecordError(f"{presence}: does not belong to {self.path.name}; pack the corpus again")
        self._unverified: np.ndarray | None = np.ones(len(self.clips), bool) if verify != "off" else None
        self._num_unverified = 0 if self._unverified is None else len(self._unverified)

    @cached_property
    def clips(self) -> np.ndarray:
        """uint64 (N, 3): first frame, number of frames and checksum, ordered by first frame.

        Raises:
            CorruptRecordError: If the file is missing or damaged.
        """
        path = self.path.with_name(sibling_filename(self.path.name, "clips"))
        if not path.is_file():
            raise CorruptRecordError(
                f"{path}: no such file, so the frames cannot be verified; copy the whole pack, or run 'karsl pack' again"
            )
        self._maps.append(_open_map(path))
        clips = self._maps[-1].view(np.ndarray)
        if clips.dtype != np.uint64 or clips.ndim != 2 or clips.shape[1] != 3 or not self._is_partition(clips):
            raise CorruptRecordError(f"{path}: does not belong to {self.path.name}; see 'karsl pack --verify'")
        return clips

    def _is_partition(self, clips: np.ndarray) -> bool:
        """Return True if every frame belongs to one clip; sums cannot exceed 64 bits, since lengths are compared first."""
        starts, lengths, frames = clips[:, FIRST], clips[:, LENGTH], len(self.frames)
        if not len(clips) or starts[0] != 0 or not lengths.all() or max(starts.max(), lengths.max()) > frames:
            return False
        return np.array_equal(starts + lengths, [*starts[1:], frames])

    def clip(self, start: int, length: int) -> np.ndarray:
        """Return float (T, V, 4), a view of the mapped pages.

        Raises:
            CorruptRecordError: If the slice is outside the shard.
        """
        if row_offset(start, length, 1, 1, len(self.frames)) < 0:
            raise CorruptRecordError(
                f"{self.path}: no frames {start} to {start + length}, it has {len(self.frames)}; is it the right pack?"
            )
        return self.frames[start : start + length]

    def checked_clip(self, start: int, length: int) -> np.ndarray:
        """Return the clip after `verify`."""
        clip = self.clip(start, length)
        self.verify(np.array([start]), np.array([length]))
        return clip

    def verify(self, starts: np.ndarray, lengths: np.ndarray) -> None:
        """Compare the clips that overlap some runs of rows, int64 (N,) each, with their checksums, depending on `mode`.

        Raises:
            CorruptRecordError: If a checksum differs; the error names the clip, its bytes and the remedy.
        """
        check_memmap(self._maps[0])
        if self._unverified is None:
            return
        if self.mode == "first touch" and not self._num_unverified:
            return
        for mapped in self._maps:
            check_memmap(mapped)
        first = np.searchsorted(self._starts, starts, side="right") - 1
        counts = np.searchsorted(self._starts, starts + lengths, side="left") - first
        clips = first  # as in most batches, each run is one clip
        if (counts != 1).any():
            clips = np.repeat(first, counts) + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        if self.mode == "first touch":
            clips = clips[self._unverified[clips]]
            if not len(clips):
                return
        clips = np.unique(clips)
        if len(clips) > 1:
            self._read_ahead(clips)
        self._compare(clips)
        self._num_unverified -= int(np.count_nonzero(self._unverified[clips]))
        self._unverified[clips] = False

    def checksum(self, number: int) -> int:
        """Return the xxh3 of a clip's frames and presence as they are stored."""
        start, length = int(self._starts[number]), int(self._lengths[number])
        return clip_checksum(self.frames[start : start + length], self.presence[start : start + length])

    def describe_clip(self, number: int) -> str:
        """Return number, frames and bytes of a clip as text for an error."""
        row_bytes = self.frames.strides[0]
        start, length = int(self._starts[number]), int(self._lengths[number])
        offset = self._maps[0].offset + start * row_bytes
        return f"clip {number}, frames {start} to {start + length}, bytes {offset} to {offset + length * row_bytes}"

    def _read_ahead(self, numbers: np.ndarray) -> None:
        row_bytes = self.frames.strides[0]
        starts = self._maps[0].offset + self._starts[numbers] * row_bytes
        sizes = self._lengths[numbers] * row_bytes
        read_ahead([FileRanges(self.path, list(zip(starts.tolist(), sizes.tolist(), strict=True)))])

    def _compare(self, numbers: np.ndarray) -> None:
        starts, stops = self._starts[numbers], self._starts[numbers] + self._lengths[numbers]
        expected = self.clips[numbers, CHECKSUM]
        for number, start, stop, checksum in zip(*(x.tolist() for x in (numbers, starts, stops, expected)), strict=True):
            if clip_checksum(self.frames[start:stop], self.presence[start:stop]) != checksum:
                raise CorruptRecordError(
                    f"{self.path}: {self.describe_clip(number)} are not what was written, the checksum differs; copy the "
                    "shard again, or 'karsl pack --remove' the clip and '--append' it again"
                )

    @cached_property
    def _starts(self) -> np.ndarray:
        return self.clips[:, FIRST].view(np.int64)

    @cached_property
    def _lengths(self) -> np.ndarray:
        return self.clips[:, LENGTH].view(np.int64)

    @cached_property
    def digest(self) -> int:
        """Fingerprint of the content: all presence flags and up to 64 frames."""
        frames, some = self.frames, np.linspace(0, len(self.frames) - 1, 64).astype(np.int64)
        state = xxh3_64(f"{frames.dtype} {frames.shape}".encode())
        state.update(np.ascontiguousarray(self.presence).data)
        state.update(np.ascontiguousarray(frames[some]).data)
        return state.intdigest() >> 1  # fits int64

    def __reduce__(self) -> tuple:
        return partial(Pack, verify=self.mode), (self.path,)


class WholePack:
    """All shards of a pack in the order of their names, with their frames numbered consecutively.

    Args:
        path: Folder of the pack, or the frames of a single shard.

    Raises:
        FileNotFoundError: If there is no such pack.
        CorruptRecordError: If a shard is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        paths = list_shards(self.path) if self.path.is_dir() else [self.path]
        if not paths:
            raise FileNotFoundError(f"{self.path}: no shards such as frames-00000.npy; make a pack with 'karsl pack'")
        self.shards = [Pack(shard) for shard in paths]
        sizes = [len(shard.frames) for shard in self.shards]
        self._first = {shard.path.name: sum(sizes[:n]) for n, shard in enumerate(self.shards)}
        digests = [shard.digest for shard in self.shards]
        joined = xxh3_64(np.array(digests, np.int64).tobytes()).intdigest() >> 1  # fits int64
        self.digest = digests[0] if len(digests) == 1 else joined

    @property
    def nbytes(self) -> int:
        """Number of bytes of all frames."""
        return sum(shard.frames.nbytes for shard in self.shards)

    def rows(self, names: Sequence[str], shard_index: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Return int64 (N,), rows counted over the whole pack, of rows `starts` in the shards `names[shard_index]`.

        Raises:
            KeyError: If there is no such shard.
        """
        return np.array([self._first[name] for name in names], np.int64)[shard_index] + starts


def clip_checksum(frames: np.ndarray, presence: np.ndarray) -> int:
    """Return the xxh3 of a clip's frames and then its presence flags, both contiguous."""
    state = xxh3_64(frames.data)
    state.update(presence.data)
    return state.intdigest()


def _open_map(path: Path) -> np.memmap:
    if not path.is_file():
        manifest, hint = path.with_name(MANIFEST), "is data_root the folder of the pack?"
        if manifest.is_file() and os.fsencode(path.name) not in manifest.read_bytes():
            hint = "the pack was replaced since this run opened it; start the run again"
        raise FileNotFoundError(f"{path}: no such file; {hint}")
    try:
        return npy.open_memmap(path, mode="r")
    except BROKEN as error:
        raise CorruptRecordError(f"{path}: no readable .npy file ({error}); pack the corpus again") from error


def check_memmap(mapped: np.memmap) -> None:
    """Check that a file was not cut after it was mapped: touching its pages would end the process with SIGBUS.

    A file that is cut between this check and the end of the pass cannot be noticed.

    Raises:
        CorruptRecordError: If the file has fewer bytes than the array.
    """
    size, current = mapped.offset + mapped.nbytes, mapped._mmap.size()  # type: ignore[attr-defined]
    if current < size:
        raise CorruptRecordError(f"{mapped.filename}: {current} of {size} bytes are left, cut while in use; copy it again")
