"""Pickles of mmaction2 and pyskl, `{"split": {...}, "annotations": [...]}`, with all clips in one file.

A pickle of the list of annotations alone, as mmaction2 0.x documents, is read, too; its clips have no split.

Source: https://mmaction2.readthedocs.io/en/latest/user_guides/prepare_dataset.html (skeleton-based action recognition).
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import AnnotationError, CorruptRecordError, pluralize
from karsl.formats.base import SUPPORTS_ALL, ConversionJob, class_list, file_with_suffix, register_format, resolve_skeleton
from karsl.formats.persons import NOTE, select_person
from karsl.formats.safe_pickle import Trusted, load_safe_pickle
from karsl.io.annotations import record_splits
from karsl.io.missing import STRICT, MissingPoints
from karsl.io.sources import FunctionSource, public_record
from karsl.skeletons import Skeleton, describe_skeleton

_KEYS = ("frame_dir", "label", "keypoint")


def _read_clip(path: Path, clips: list[dict], missing: MissingPoints, person: int | None, record: dict) -> np.ndarray:
    return to_clip(clips[record["index"]], where=f"{path}: clip {record['clip_id']!r}", missing=missing, person=person)


def to_clip(annotation: dict, *, where: str, missing: MissingPoints = STRICT, person: int | None = None) -> np.ndarray:
    """Convert one person of an annotation, see `select_person`, to a canonical clip, with pixels divided by the image size.

    Args:
        annotation: `keypoint` (M, T, V, 2 or 3), and optionally `keypoint_score` (M, T, V) and `img_shape`: height, width
            and perhaps the number of channels.
        where: Name of the clip, for errors.
        missing: Rules that say which points are missing. A point whose coordinates are all NaN always is.
        person: Index of the person, see `select_person`.

    Returns:
        float32 (T, V, 4).

    Raises:
        CorruptRecordError: If a point with a score above 0 has a coordinate that is not finite.
    """
    keypoint = np.asarray(annotation["keypoint"], np.float32)
    score = annotation.get("keypoint_score")
    # without scores, zeros are missing points, as in the 3D skeletons of NTU
    score = (keypoint != 0).any(-1).astype(np.float32) if score is None else np.asarray(score, np.float32)
    score = np.where(np.isnan(keypoint).all(-1), np.float32(0), np.clip(np.nan_to_num(score), 0, 1))
    person = select_person(keypoint, score, person, where=where)
    points = missing.clear(np.concatenate([keypoint[person], score[person][..., None]], axis=-1))
    height, width = _image_size(annotation) or (1, 1)
    clip = np.zeros((*points.shape[:2], 4), np.float32)
    clip[..., : points.shape[-1] - 1], clip[..., 3] = points[..., :-1], points[..., -1]
    clip[..., :2] /= np.array([width, height], np.float32)
    clip[~(clip[..., 3] > 0)] = 0
    if not np.isfinite(clip).all():
        raise CorruptRecordError(f"{where} has points with a score above 0 and non-finite coordinates; export it again")
    return clip


def write_pyskl(out: Path, job: ConversionJob, *, num_coordinates: int = 3) -> None:
    """Write 2 or 3 coordinates and scores. Coordinates are fractions of the image size, so `img_shape` is (1, 1)."""
    annotations: list[dict] = []
    split: dict[str, list[str]] = {}
    for record, clip in job.clips():
        metadata = {k: v for k, v in public_record(record).items() if k in ("label", "sign", "signer", "fps")}
        annotations.append(
            {
                "frame_dir": record["clip_id"],
                **metadata,
                "total_frames": len(clip),
                "img_shape": (1, 1),
                "original_shape": (1, 1),
                "keypoint": np.ascontiguousarray(clip[..., :num_coordinates])[None],
                "keypoint_score": np.ascontiguousarray(clip[..., 3])[None],
            }
        )
        for name in record_splits(record) or ("train",):
            split.setdefault(name, []).append(record["clip_id"])
    metainfo = {**job.metainfo, "skeleton": describe_skeleton(job.skeleton)}
    with out.open("wb") as stream:
        pickle.dump({"split": split, "annotations": annotations, "metainfo": metainfo}, stream, protocol=4)


@register_format(
    "pyskl",
    description="one pickle of mmaction2 and pyskl: keypoint (M, T, V, 3), keypoint_score; read with --trust-pickle FILE",
    cannot_store="nothing; further persons are not read",
    detect=file_with_suffix(".pkl", ".pickle"),
    priority=100,
    writer=write_pyskl,
    is_file=True,
    supports=SUPPORTS_ALL,
    supports_half=True,
    has_persons=True,
)
@register_format(
    "pyskl2d",
    description="the same with keypoint (M, T, V, 2), for 2D models",
    cannot_store="z",
    priority=101,
    writer=partial(write_pyskl, num_coordinates=2),
    is_file=True,
    supports=frozenset({"score", "mask"}),
    supports_half=True,
    has_persons=True,
)
def open_pyskl(
    path: Path,
    *,
    skeleton: Skeleton | None = None,
    trusted: Trusted = (),
    missing: MissingPoints = STRICT,
    person: int | None = None,
    **_: Any,
) -> FunctionSource:
    """Open a trusted pickle. Only one person of a clip is read, see `select_person`.

    Raises:
        ConfigError: If the file is not trusted.
        AnnotationError: If it is not of this format, or neither it nor `skeleton` names the skeleton.
    """
    content = load_safe_pickle(path, trusted=trusted)
    if isinstance(content, list):
        content = {"annotations": content}
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        expected = "neither a list of annotations nor a dict with 'split' and 'annotations'"
        raise AnnotationError(f"{path}: {expected}; is it a file of mmaction2 or pyskl?")
    stored = content.get("metainfo") or {}
    splits = content.get("split") or {}
    if not isinstance(stored, dict) or not (isinstance(splits, dict) and all(isinstance(v, list) for v in splits.values())):
        raise AnnotationError(f"{path}: 'split' is not a dict of lists of clips, or 'metainfo' not a dict; export it again")
    points = resolve_skeleton(stored.get("skeleton"), skeleton, where=path)
    splits_of: dict[Any, list[str]] = {}
    for name, members in splits.items():
        for clip in dict.fromkeys(members):
            splits_of.setdefault(clip, []).append(name)
    clips = content["annotations"]
    found = {index: _problem(clip, points.num_keypoints) for index, clip in enumerate(clips)}
    problems = tuple(f"annotation {index} {problem}" for index, problem in found.items() if problem)
    records = [_record(clip, index, splits_of) for index, clip in enumerate(clips) if not found[index]]
    metainfo = {"dataset_name": path.stem, "classes": class_list(r["label"] for r in records), **stored}
    metainfo["skeleton"] = describe_skeleton(points)
    reader = partial(_read_clip, path, clips, missing, person)
    notes = tuple(_notes([clips[record["index"]] for record in records]))
    return FunctionSource(metainfo, points, records, reader, notes, problems=problems)


def _notes(clips: list[dict]) -> Iterator[str]:
    several = sum(len(clip["keypoint"]) > 1 for clip in clips)
    if several:
        yield f"several persons in {pluralize(several, 'clip')}; {NOTE}"


def _problem(clip: Any, num_keypoints: int) -> str | None:
    if not isinstance(clip, dict) or any(key not in clip for key in _KEYS):
        return f"is not a dict with {_KEYS}"
    name, keypoint, score, label = repr(clip["frame_dir"]), clip["keypoint"], clip.get("keypoint_score"), clip["label"]
    if not isinstance(clip["frame_dir"], (str, int)):
        return f"({name}): frame_dir is a {type(clip['frame_dir']).__name__}, not a name"
    if not isinstance(label, int) or label < 0:
        return f"({name}): label {label!r} is not an integer from 0"
    if not isinstance(keypoint, np.ndarray) or keypoint.ndim != 4 or not keypoint.shape[0] or not keypoint.shape[1]:
        return f"({name}): keypoint is not an array (persons, frames, points, 2 or 3)"
    if keypoint.shape[2] != num_keypoints or keypoint.shape[3] not in (2, 3):
        return f"({name}): keypoint has shape {keypoint.shape}, the skeleton has {num_keypoints} points"
    if _image_size(clip) is None:
        return f"({name}): img_shape is {clip['img_shape']!r}; expected height and width"
    if score is not None and np.shape(score) != keypoint.shape[:3]:
        return f"({name}): keypoint_score has shape {np.shape(score)}, keypoint {keypoint.shape}"
    return None


def _image_size(clip: dict) -> tuple[float, float] | None:
    """Return height and width, (1, 1) without `img_shape`, or None if it is neither absent nor two positive numbers."""
    shape = clip.get("img_shape")
    if shape is None or np.size(shape) == 0:
        return 1, 1
    sides = shape.tolist() if isinstance(shape, np.ndarray) else shape
    if not isinstance(sides, (list, tuple)) or len(sides) not in (2, 3):
        return None
    height, width = sides[:2]
    is_valid = all(isinstance(side, (int, float)) and 0 < side < math.inf for side in (height, width))
    return (height, width) if is_valid else None


def _record(clip: dict, index: int, splits_of: dict[Any, list[str]]) -> dict:
    record = {"clip_id": str(clip["frame_dir"]), "label": int(clip["label"]), "num_frames": clip["keypoint"].shape[1]}
    record |= {key: clip[key] for key in ("sign", "signer", "fps") if key in clip}
    if names := splits_of.get(clip["frame_dir"]):
        record["split"] = names[0] if len(names) == 1 else names
    return {**record, "index": index}
