"""Extraction of one clip: decode its frames, find the keypoints, write them atomically."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import DISK_FULL, CorruptRecordError, KarslError, MissingExtraError, first_line
from karsl.extract.base import Extractor, keypoint_mapping
from karsl.extract.videos import Video
from karsl.io.atomic import atomic_path
from karsl.io.video import FrameReader
from karsl.skeletons import Skeleton

_loaded: dict[str, Extractor] = {}  # by recipe: tasks on a cluster receive a new copy each, whose networks are not loaded


@dataclass(frozen=True)
class Recipe:
    """An extractor, the skeleton to write, and a name of both."""

    extractor: Extractor
    skeleton: Skeleton
    recipe_id: str


@dataclass(frozen=True)
class ExtractedClip:
    """Result of one clip.

    Attributes:
        record: Record of an annotation file, without metadata of the source. Empty after a failure.
        doubts: Clauses about its frames.
        failure: Sentence of the error; empty after success.
        cpu_s: Seconds of processor time.
    """

    record: dict[str, Any]
    doubts: tuple[str, ...] = ()
    failure: str = ""
    cpu_s: float = 0.0


@dataclass(frozen=True)
class ClipTask:
    """A clip to extract, as a task of `karsl.pack.build.write_blocks` or `karsl.ray.pack.RayBlocks`.

    Args:
        video: Clip to extract.
        root: Folder of the source.
        out: Folder of the clips.
    """

    video: Video
    root: Path
    out: Path

    def write(self, recipe: Recipe) -> ExtractedClip:
        """Write the clip. A failure is returned, since the other clips do not depend on it.

        Raises:
            OSError: If the disk is full.
            MissingExtraError: If a library is not installed.
        """
        start = time.process_time()
        try:
            record, doubts = self._extract(recipe)
        except Exception as error:  # of a decoder or an extractor: this clip fails, not the run
            is_disk_full = isinstance(error, OSError) and error.errno in DISK_FULL
            if is_disk_full or isinstance(error, MissingExtraError):  # of every clip
                raise
            return self._failure(error)
        return ExtractedClip(record, doubts, cpu_s=time.process_time() - start)

    def _failure(self, error: Exception) -> ExtractedClip:
        if isinstance(error, KarslError):
            sentence = str(error).removeprefix(f"{self.root / self.video.path}: ")
        elif isinstance(error, OSError) and error.strerror:
            sentence = f"{error.strerror.lower()}{f': {error.filename!r}' if error.filename else ''}"
        else:
            sentence = f"{type(error).__name__}: {first_line(error)}"
        return ExtractedClip({}, failure=sentence)

    def _extract(self, recipe: Recipe) -> tuple[dict[str, Any], tuple[str, ...]]:
        extractor = _loaded.setdefault(recipe.recipe_id, recipe.extractor)
        frames = FrameReader(self.root / self.video.path)
        clip = extract_keypoints(frames.path, frames, extractor, recipe.skeleton)
        path = self.out / f"{self.video.clip_id}.npy"
        buffer = BytesIO()  # numpy's own writing to a file loses the reason of an error
        np.save(buffer, clip)
        with atomic_path(path) as temp:
            temp.write_bytes(buffer.getbuffer())
        shares = _hand_shares(clip, recipe.skeleton)
        doubts = list(frames.doubts)
        if not (clip[..., 3] > 0).any():
            doubts.append("no keypoint was found in any frame")
        elif shares and not any(shares.values()):
            doubts.append("no hand was found in any frame")
        record = {
            "clip_id": self.video.clip_id,
            "keypoint_path": f"{self.out.name}/{self.video.clip_id}.npy",
            "num_frames": len(clip),
            **({"fps": round(frames.fps, 4)} if frames.fps else {}),
            "img_shape": list(frames.img_shape or ()),
            **({"rotation": frames.rotation} if frames.rotation else {}),
            **shares,
        }
        return record, tuple(doubts)


def extract_keypoints(path: Path, frames: Iterable[np.ndarray], extractor: Extractor, skeleton: Skeleton) -> np.ndarray:
    """Return the clip of the frames of a video, see `to_clip`.

    Raises:
        CorruptRecordError: If there are no frames; names `path`.
    """
    found = [extractor(images) for images in _batches(frames, extractor.batch_size)]
    if not found:
        raise CorruptRecordError(f"{path}: no frames")
    return to_clip(np.concatenate(found), keypoint_mapping(extractor, skeleton))


def to_clip(points: np.ndarray, mapping: np.ndarray) -> np.ndarray:
    """Convert the result of an extractor to a clip on a skeleton.

    Args:
        points: (T, N, 4) with NaN where missing.
        mapping: int64 (V,), index of each keypoint, -1 if the extractor does not have it.

    Returns:
        float32 (T, V, 4) x, y, z, score; four zeros where missing, as MediaPipe's users and KArSL's files write it.

    Example:
        >>> to_clip(np.array([[[0.5, 0.25, 0.0, 1.0], [np.nan, np.nan, np.nan, 0.0]]]), np.array([1, 0, -1])).tolist()
        [[[0.0, 0.0, 0.0, 0.0], [0.5, 0.25, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]]]
    """
    clip = points[:, mapping].astype(np.float32)
    clip[:, mapping < 0] = 0
    clip[~(clip[..., 3] > 0) | np.isnan(clip).any(-1)] = 0
    return clip


def _batches(frames: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Yield up to `size` successive frames of equal shape at a time, uint8 (N, height, width, 3)."""
    batch: list[np.ndarray] = []
    for frame in frames:
        if batch and (len(batch) == size or frame.shape != batch[0].shape):
            yield np.stack(batch)
            batch = []
        batch.append(frame)
    if batch:
        yield np.stack(batch)


def _hand_shares(clip: np.ndarray, skeleton: Skeleton) -> dict[str, float]:
    """Return the share of frames with each hand, as `left_hand` and `right_hand`, for the hands of the skeleton."""
    shares = {}
    for side in ("left_hand", "right_hand"):
        points = [k for k, name in enumerate(skeleton.names) if name.startswith(f"{side}_")]
        if points:
            shares[side] = round(float((clip[:, points, 3] > 0).any(1).mean()), 4)
    return shares
