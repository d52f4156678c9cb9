"""A pack: all frames of a corpus in mapped `.npy` shards, so that a clip is a slice of one.

| file | holds |
| --- | --- |
| `frames-00000.npy` | float16 or float32 (F, V, 4): x, y, z, score; four zeros where missing |
| `presence-00000.npy` | uint8 (F, G): none, all or some points of each group are there (0, 1, 2) |
| `clips-00000.npy` | uint64 (N, 3) by columns: first frame, number of frames and checksum of each clip |
| `annotations.json` | OpenMMLab's format; a record's `keypoint_path`, `frame_start` and `num_frames` are its slice |
| `manifest.json` | sizes and checksums of all of these, see `karsl.storage.pack.manifest` |
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from xxhash import xxh3_64

from karsl.errors import ConfigError, CorruptRecordError
from karsl.storage.npy import BROKEN
from karsl.storage.readahead import FileRanges, fetch

ANNOTATIONS, MANIFEST = "annotations.json", "manifest.json"
VERIFY = ("off", "first touch", "always")
FIRST, LENGTH, CHECKSUM = 0, 1, 2  # columns of clips-00000.npy


def frames_name(number: int) -> str:
    """File of a shard's frames.

    Example:
        >>> frames_name(3), beside(frames_name(3), "clips")
        ('frames-00003.npy', 'clips-00003.npy')
    """
    return f"frames-{number:05d}.npy"


def beside(frames: str, kind: str) -> str:
    """Another file of the same shard, `kind` 'presence' or 'clips'."""
    return frames.replace("frames", kind, 1)


class Pack:
    """One shard of a pack, open; maps its files, so a copy of it costs nothing.

    Args:
        path: Of its frames, such as `packed/frames-00000.npy`.
        verify: Whether `verify` looks at checksums: `'off'`, `'first touch'` once in each process, `'always'`.

    Raises:
        FileNotFoundError: No such file.
        CorruptRecordError: Not frames of keypoints, or the files do not fit.
        ConfigError: Another word for `verify`.
    """

    def __init__(self, path: str | Path, *, verify: str = "off") -> None:
        if verify not in VERIFY:
            raise ConfigError(f"verify={verify!r} of a pack; expected one of {', '.join(map(repr, VERIFY))}")
        self.path, self.mode = Path(path), verify
        presence = self.path.with_name(beside(self.path.name, "presence"))
        self._maps = [_mapped(self.path), _mapped(presence)]
        self.frames, self.presence = (m.view(np.ndarray) for m in self._maps)  # indexing np.memmap objects is slow
        shape = self.frames.shape
        if len(shape) != 3 or shape[2] != 4 or self.frames.dtype not in (np.float16, np.float32):
            raise CorruptRecordError(f"{path}: holds {self.frames.dtype} {shape}; a pack's frames are float (F, V, 4)")
        if self.presence.dtype != np.uint8 or self.presence.shape[:1] != shape[:1]:
            raise CorruptRecordError(f"{presence}: does not belong to {self.path.name}; pack the corpus again")
        self._unseen: np.ndarray | None = np.ones(len(self.clips), bool) if verify != "off" else None
        self._num_unseen = 0 if self._unseen is None else len(self._unseen)

    @cached_property
    def clips(self) -> np.ndarray:
        """uint64 (N, 3): first frame, length, checksum, by first frame.

        Raises:
            CorruptRecordError: The file is damaged or not there.
        """
        path = self.path.with_name(beside(self.path.name, "clips"))
        if not path.is_file():
            raise CorruptRecordError(
                f"{path}: no such file, so nothing tells whether the frames are whole; copy all of the pack, or make it "
                "anew with 'karsl pack'"
            )
        self._maps.append(_mapped(path))
        found = self._maps[-1].view(np.ndarray)
        ends = found[:, :2].sum(1) if found.ndim == 2 and found.shape[1] == 3 else None
        if ends is None or found.dtype != np.uint64 or not np.array_equal(ends, [*found[1:, 0], len(self.frames)]):
            raise CorruptRecordError(f"{path}: does not belong to {self.path.name}; see 'karsl pack --verify'")
        return found

    def clip(self, start: int, length: int) -> np.ndarray:
        """float (T, V, 4), a view of the mapped pages.

        Raises:
            CorruptRecordError: The slice is not in the pack.
        """
        if not 0 <= start < start + length <= len(self.frames):
            raise CorruptRecordError(
                f"{self.path}: no frames {start} to {start + length}, it has {len(self.frames)}; is it the pack of this "
                "annotation file?"
            )
        return self.frames[start : start + length]

    def checked_clip(self, start: int, length: int) -> np.ndarray:
        """The same, after `verify`."""
        clip = self.clip(start, length)
        self.verify(np.array([start]), np.array([length]))
        return clip

    def verify(self, starts: np.ndarray, lengths: np.ndarray) -> None:
        """Compare runs of rows, int64 (N,) each, with the checksums of the clips that they touch, as `mode` says.

        Raises:
            CorruptRecordError: A clip is not what was written; the text says where, and what to do.
        """
        if self._unseen is None:
            return
        _check_size(self._maps[0])
        if self.mode == "first touch" and not self._num_unseen:
            return
        for mapped in self._maps:
            _check_size(mapped)
        first = np.searchsorted(self._starts, starts, side="right") - 1
        counts = np.searchsorted(self._starts, starts + lengths, side="left") - first
        touched = np.unique(
            np.repeat(first, counts) + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        )
        if self.mode == "first touch":
            touched = touched[self._unseen[touched]]
        if len(touched) > 1:
            self._fetch(touched)
        self._compare(touched)
        self._num_unseen -= int(np.count_nonzero(self._unseen[touched]))
        self._unseen[touched] = False

    def checksum(self, number: int) -> int:
        """xxh3 of a clip's frames and presence, as they lie in the files."""
        start, length = int(self._starts[number]), int(self._lengths[number])
        return clip_checksum(self.frames[start : start + length], self.presence[start : start + length])

    def span(self, number: int) -> str:
        """Where a clip lies, in words for an error."""
        row_bytes = self.frames.strides[0]
        offset = self._maps[0].offset + int(self._starts[number]) * row_bytes
        end = offset + int(self._lengths[number]) * row_bytes
        start = int(self._starts[number])
        return f"clip {number}, frames {start} to {start + int(self._lengths[number])}, bytes {offset} to {end}"

    def _fetch(self, numbers: np.ndarray) -> None:
        """Have clips read from the disk together, not page after page."""
        row_bytes = self.frames.strides[0]
        begins = self._maps[0].offset + self._starts[numbers] * row_bytes
        sizes = self._lengths[numbers] * row_bytes
        fetch([FileRanges(self.path, list(zip(begins.tolist(), sizes.tolist(), strict=True)))])

    def _compare(self, numbers: np.ndarray) -> None:
        starts, stops = self._starts[numbers], self._starts[numbers] + self._lengths[numbers]
        wanted = self.clips[numbers, CHECKSUM]
        for number, start, stop, want in zip(*(x.tolist() for x in (numbers, starts, stops, wanted)), strict=True):
            if clip_checksum(self.frames[start:stop], self.presence[start:stop]) != want:
                raise CorruptRecordError(
                    f"{self.path}: {self.span(number)} are not what was written, the checksum differs; copy the shard "
                    "again, or 'karsl pack --remove' the clip and '--append' it again"
                )

    @cached_property
    def _starts(self) -> np.ndarray:
        return self.clips[:, FIRST].view(np.int64)

    @cached_property
    def _lengths(self) -> np.ndarray:
        return self.clips[:, LENGTH].view(np.int64)

    @cached_property
    def digest(self) -> int:
        """A number that tells packs apart by their content: all presence flags, and up to 64 frames."""
        frames, some = self.frames, np.linspace(0, len(self.frames) - 1, 64).astype(np.int64)
        state = xxh3_64(f"{frames.dtype} {frames.shape}".encode())
        state.update(np.ascontiguousarray(self.presence).data)
        state.update(np.ascontiguousarray(frames[some]).data)
        return state.intdigest() >> 1  # fits int64

    def __reduce__(self) -> tuple:
        return _open, (self.path, self.mode)


def clip_checksum(frames: np.ndarray, presence: np.ndarray) -> int:
    """xxh3 of a clip's frames and then its presence flags, both contiguous."""
    state = xxh3_64(frames.data)
    state.update(presence.data)
    return state.intdigest()


def shards_of(folder: str | Path) -> list[Path]:
    """Frames of every shard in a folder, by number."""
    return sorted(Path(folder).glob("frames-*.npy"))


def _open(path: Path, mode: str) -> Pack:
    return Pack(path, verify=mode)


def _mapped(path: Path) -> np.memmap:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; {_why_absent(path)}")
    try:
        return npy.open_memmap(path, mode="r")
    except BROKEN as error:
        raise CorruptRecordError(f"{path}: no readable .npy file ({error}); pack the corpus again") from error


def _why_absent(path: Path) -> str:
    manifest = path.with_name(MANIFEST)
    if manifest.is_file() and path.name.encode() not in manifest.read_bytes():
        return "the pack was made anew since this run opened it; start the run again"
    return "is data_root the folder of the pack?"


def _check_size(mapped: np.memmap) -> None:
    """A file that was cut after it was mapped ends the process with SIGBUS when its pages are touched.

    Raises:
        CorruptRecordError: It was.
    """
    size, held = mapped.offset + mapped.nbytes, mapped._mmap.size()  # type: ignore[attr-defined]
    if held < size:
        raise CorruptRecordError(
            f"{mapped.filename}: {held} bytes are left of {size}, it was cut while in use; copy it again"
        )
