"""A pack: all frames of a corpus in one mapped `.npy`, so that a clip is a slice of it.

| file | holds |
| --- | --- |
| `frames.npy` | float16 or float32 (F, V, 4): x, y, z, score; four zeros where missing |
| `presence.npy` | uint8 (F, G): none, all or some points of each group are there (0, 1, 2) |
| `annotations.json` | OpenMMLab's format; a record's `frame_start` and `num_frames` are its slice |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from xxhash import xxh3_64

from karsl.errors import ConfigError, CorruptRecordError
from karsl.skeletons import Skeleton
from karsl.storage.annotation import write_annotation
from karsl.storage.atomic import atomic_path
from karsl.storage.readahead import Readahead

FRAMES, PRESENCE, ANNOTATIONS = "frames.npy", "presence.npy", "annotations.json"
_LEAST_HALF = 2.0**-14  # smallest normal float16: a seen point keeps a score above 0


class Pack:
    """An open pack; maps its files, so a copy of it costs nothing.

    Args:
        path: Of `frames.npy`.

    Raises:
        FileNotFoundError: No such file.
        CorruptRecordError: Not frames of keypoints, or the two files do not fit.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        frames, presence = _mapped(self.path), self.path.with_name(PRESENCE)
        self._readahead = Readahead(frames)
        self.frames = frames.view(np.ndarray)  # the same pages; indexing np.memmap objects is slow
        self.presence = _mapped(presence).view(np.ndarray)
        shape = self.frames.shape
        if len(shape) != 3 or shape[2] != 4 or self.frames.dtype not in (np.float16, np.float32):
            raise CorruptRecordError(f"{path}: holds {self.frames.dtype} {shape}; a pack's frames are float (F, V, 4)")
        if self.presence.dtype != np.uint8 or self.presence.shape[:1] != shape[:1]:
            raise CorruptRecordError(f"{presence}: does not belong to {self.path.name}; pack the corpus again")

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

    def advise(self, starts: np.ndarray, lengths: np.ndarray) -> None:
        """Have the system fetch clips from the disk all at once, before they are read one page fault after the other.

        Clips that this process asked for before are left out; where the system takes no advice, nothing happens.

        Args:
            starts, lengths: int64 (N,), within the pack.
        """
        self._readahead.ask(starts, lengths)

    @cached_property
    def digest(self) -> int:
        """A number that tells packs apart by their content: all presence flags, and up to 64 frames."""
        frames, some = self.frames, np.linspace(0, len(self.frames) - 1, 64).astype(np.int64)
        state = xxh3_64(f"{frames.dtype} {frames.shape}".encode())
        state.update(np.ascontiguousarray(self.presence).data)
        state.update(np.ascontiguousarray(frames[some]).data)
        return state.intdigest() >> 1  # fits int64

    def __reduce__(self) -> tuple:
        return Pack, (self.path,)


def write_pack(
    folder: str | Path, clips: Iterable[np.ndarray], lengths: np.ndarray, *, skeleton: Skeleton, dtype: str = "float16"
) -> Path:
    """Write frames and presence of clips, one at a time; whole files or none.

    Args:
        folder: Made if absent.
        clips: Canonical clips, float32 (T, V, 4).
        lengths: T of each, known beforehand from the index.
        dtype: `'float16'` halves bytes at 5e-4 of the picture's width, `'float32'` keeps every bit.

    Returns:
        Path of `frames.npy`.

    Raises:
        ConfigError: A coordinate does not fit float16.
        CorruptRecordError: A clip has another length than its index says.
    """
    folder, kind, total = Path(folder), np.dtype(dtype), int(np.sum(lengths))
    if kind not in (np.float16, np.float32):
        raise ConfigError(f"dtype={dtype!r} of a pack; expected 'float16' or 'float32'")
    with (
        atomic_path(folder / PRESENCE) as presence_part,
        atomic_path(folder / FRAMES) as frames_part,
        frames_part.open("wb") as frames,
        presence_part.open("wb") as presence,
    ):
        _header(frames, (total, skeleton.num_keypoints, 4), kind)
        _header(presence, (total, len(skeleton.groups)), np.dtype(np.uint8))
        for number, (clip, length) in enumerate(zip(clips, lengths, strict=True)):
            if len(clip) != length:
                raise CorruptRecordError(f"clip {number} has {len(clip)} frames, its index says {length}; index again")
            frames.write(_stored(clip, kind, number).tobytes())
            presence.write(presence_of(clip, skeleton).tobytes())
    return folder / FRAMES


def pack_records(
    folder: str | Path,
    metainfo: dict,
    records: list[dict],
    read_clip: Callable[[dict], np.ndarray],
    *,
    skeleton: Skeleton,
    dtype: str = "float16",
    progress: Callable[[Iterable, int], Iterable] | None = None,
) -> Path:
    """Write a pack of some records: frames, presence, and an annotation file that points into them.

    Args:
        folder: Made if absent; its files are replaced.
        metainfo: Of the annotation file, with `signs`.
        records: In the order they are to lie in; `num_frames` of each is right.
        read_clip: Gives the canonical clip of a record.
        skeleton: Of the clips.
        dtype: See `write_pack`.
        progress: `progress(records, total)` wraps the iteration, for a bar.

    Returns:
        Path of the annotation file, to be given as `ann_file` with `data_root=folder`.
    """
    lengths = np.array([r["num_frames"] for r in records], dtype=np.int64)
    clips = (read_clip(r) for r in (progress(records, len(records)) if progress else records))
    write_pack(folder, clips, lengths, skeleton=skeleton, dtype=dtype)
    starts = (np.cumsum(lengths) - lengths).tolist()
    located = [
        {**{k: v for k, v in r.items() if k != "keypoint_key"}, "keypoint_path": FRAMES, "frame_start": start}
        for r, start in zip(records, starts, strict=True)
    ]
    return write_annotation(Path(folder) / ANNOTATIONS, metainfo, located)


def presence_of(clip: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """uint8 (T, G): 0 where no point of the group is there, 1 where all are, 2 where some are.

    Args:
        clip: (T, V, 4) with the score last.
    """
    seen = clip[..., 3] > 0
    parts = [seen[:, part] for part in skeleton.groups.values()]
    return np.stack([np.where(p.all(1), 1, np.where(p.any(1), 2, 0)) for p in parts], axis=1).astype(np.uint8)


def _stored(clip: np.ndarray, kind: np.dtype, number: int) -> np.ndarray:
    if kind == np.float32:
        return clip.astype(np.float32, copy=False)
    largest = float(np.abs(clip).max())
    if largest > np.finfo(np.float16).max:
        raise ConfigError(f"clip {number} holds {largest:g}, more than float16 can; pack it with dtype='float32'")
    clip = clip.copy()
    clip[..., 3] = np.where(clip[..., 3] > 0, np.maximum(clip[..., 3], _LEAST_HALF), 0)
    return clip.astype(np.float16)


def _header(stream, shape: tuple[int, ...], dtype: np.dtype) -> None:
    npy.write_array_header_1_0(stream, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})


def _mapped(path: Path) -> np.memmap:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; is data_root the folder of the pack?")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise CorruptRecordError(f"{path}: no readable .npy file ({error}); pack the corpus again") from error
