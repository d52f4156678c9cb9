"""The pickle of mmaction2 and pyskl: `{"split": {...}, "annotations": [...]}`, every clip in one file.

Source: https://mmaction2.readthedocs.io/en/latest/user_guides/prepare_dataset.html (skeleton-based action recognition).
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import AnnotationError, CorruptRecordError, DataErrors
from karsl.skeletons import Skeleton, describe_skeleton
from karsl.storage.clip_source import Clips, public
from karsl.storage.convert.job import Job
from karsl.storage.convert.plain_pickle import Trusted, load_plain
from karsl.storage.convert.said import numbered_classes, skeleton_of

_KEYS = ("frame_dir", "label", "keypoint")


def open_pyskl(path: Path, *, skeleton: Skeleton | None = None, trusted: Trusted = (), **_: Any) -> Clips:
    """Open a trusted pickle; of several persons, the one seen best in the clip is read.

    Raises:
        ConfigError: Not trusted.
        AnnotationError: Not of this form, or the file does not say what its points are and neither does `skeleton`.
        DataErrors: Clips that are not as they should be, all at once.
    """
    content = load_plain(path, trusted=trusted)
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise AnnotationError(f"{path}: not a dict with 'split' and 'annotations'; is it mmaction2's or pyskl's form?")
    extra = content.get("metainfo") or {}
    points = skeleton_of(extra.get("skeleton"), skeleton, where=path)
    split_of = {clip: name for name, clips in (content.get("split") or {}).items() for clip in clips}
    clips, problems = content["annotations"], []
    for place, clip in enumerate(clips):
        problem = _problem(clip, points.num_keypoints)
        if problem:
            problems.append(f"annotation {place} {problem}")
    if problems:
        raise DataErrors(str(path), problems)
    records = [_record(clip, place, split_of) for place, clip in enumerate(clips)]
    metainfo = {"dataset_name": path.stem, "classes": numbered_classes(r["label"] for r in records), **extra}
    metainfo["skeleton"] = describe_skeleton(points)
    return Clips(metainfo, points, records, _PickledReader(path, clips), tuple(_notes(content)))


def _notes(content: dict) -> Iterator[str]:
    several = sum(len(clip["keypoint"]) > 1 for clip in content["annotations"])
    if several:
        yield f"{several} clips hold several persons; the one seen best is read"
    named = Counter(clip for clips in (content.get("split") or {}).values() for clip in clips)
    twice = sum(count > 1 for count in named.values())
    if twice:
        yield f"{twice} clips are in several splits; the last of these is read"


@dataclass(frozen=True)
class _PickledReader:
    """Holds the clips in memory, as the form does; a copy for another process carries them along."""

    path: Path
    clips: list[dict]

    def __call__(self, record: dict) -> np.ndarray:
        return clip_of(self.clips[record["place"]], where=f"{self.path}: clip {record['clip_id']!r}")


def clip_of(annotation: dict, *, where: str) -> np.ndarray:
    """The canonical clip of one annotation: of the person seen best, coordinates in pictures' widths and heights.

    Args:
        annotation: `keypoint` (M, T, V, 2 or 3), maybe `keypoint_score` (M, T, V) and `img_shape` (height, width).
        where: Names the clip in errors.

    Raises:
        CorruptRecordError: A point that is there has a coordinate that is no number.
    """
    keypoint = np.asarray(annotation["keypoint"], np.float32)
    score = annotation.get("keypoint_score")
    # a file without scores marks missing points by zeros, as the 3D skeletons of this form do
    score = (keypoint != 0).any(-1).astype(np.float32) if score is None else np.asarray(score, np.float32)
    person = int(score.sum((1, 2)).argmax())
    xyz, score = keypoint[person], np.clip(score[person], 0, 1)
    height, width = annotation.get("img_shape") or (1, 1)
    clip = np.zeros((*score.shape, 4), np.float32)
    clip[..., : xyz.shape[-1]], clip[..., 3] = xyz, score
    clip[..., :2] /= np.array([width, height], np.float32)
    clip[score <= 0] = 0
    if not np.isfinite(clip).all():
        raise CorruptRecordError(f"{where} has points with a score above 0 and no number as coordinate; export it again")
    return clip


def _problem(clip: Any, num_keypoints: int) -> str | None:
    if not isinstance(clip, dict) or any(key not in clip for key in _KEYS):
        return f"is not a dict with {_KEYS}"
    keypoint, score, label = clip["keypoint"], clip.get("keypoint_score"), clip["label"]
    if not isinstance(label, int) or label < 0:
        return f"({clip['frame_dir']!r}): label {label!r} is not one number from 0"
    if not isinstance(keypoint, np.ndarray) or keypoint.ndim != 4 or not keypoint.shape[0] or not keypoint.shape[1]:
        return f"({clip['frame_dir']!r}): keypoint is no array (persons, frames, points, 2 or 3)"
    if keypoint.shape[2] != num_keypoints or keypoint.shape[3] not in (2, 3):
        return f"({clip['frame_dir']!r}): keypoint has shape {keypoint.shape}, the skeleton has {num_keypoints} points"
    if not all(isinstance(side, (int, float)) and side > 0 for side in clip.get("img_shape") or (1, 1)):
        return f"({clip['frame_dir']!r}): img_shape is {clip['img_shape']!r}; height and width are expected"
    if score is not None and np.shape(score) != keypoint.shape[:3]:
        return f"({clip['frame_dir']!r}): keypoint_score has shape {np.shape(score)}, keypoint {keypoint.shape}"
    return None


def _record(clip: dict, place: int, split_of: dict) -> dict:
    record = {"clip_id": str(clip["frame_dir"]), "label": int(clip["label"]), "num_frames": clip["keypoint"].shape[1]}
    record |= {key: clip[key] for key in ("sign", "signer", "fps") if key in clip}
    if clip["frame_dir"] in split_of:
        record["split"] = split_of[clip["frame_dir"]]
    return {**record, "place": place}


def write_pyskl(out: Path, job: Job) -> None:
    """x, y, z and scores; coordinates stay in pictures' widths and heights, so `img_shape` is (1, 1)."""
    _write(out, job, lambda clip: clip[..., :3])


def write_pyskl_2d(out: Path, job: Job) -> None:
    """x, y and scores, as the 2D models of mmaction2 and pyskl take them."""
    _write(out, job, lambda clip: clip[..., :2])


def _write(out: Path, job: Job, coordinates: Callable[[np.ndarray], np.ndarray]) -> None:
    annotations: list[dict] = []
    split: dict[str, list[str]] = {}
    for record, clip in job.clips():
        facts = {k: v for k, v in public(record).items() if k in ("label", "sign", "signer", "fps")}
        annotations.append(
            {
                "frame_dir": record["clip_id"],
                **facts,
                "total_frames": len(clip),
                "img_shape": (1, 1),
                "original_shape": (1, 1),
                "keypoint": np.ascontiguousarray(coordinates(clip))[None],
                "keypoint_score": np.ascontiguousarray(clip[..., 3])[None],
            }
        )
        split.setdefault(record.get("split", "train"), []).append(record["clip_id"])
    metainfo = {**job.metainfo, "skeleton": describe_skeleton(job.skeleton)}
    with out.open("wb") as stream:
        pickle.dump({"split": split, "annotations": annotations, "metainfo": metainfo}, stream, protocol=4)
