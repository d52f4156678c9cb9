"""Results of detectors, persons per frame: OpenPose's json per frame, MMPose's json and Uni-Sign's pickle per clip.

Source: https://github.com/CMU-Perceptual-Computing-Lab/openpose/blob/master/doc/02_output.md,
https://mmpose.readthedocs.io/en/latest/user_guides/inference.html and https://github.com/ZechengLi19/Uni-Sign (demo).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import AnnotationError, CorruptRecordError, DataErrors, DatasetNotFoundError, pluralize
from karsl.formats.base import register_format
from karsl.formats.folders import Listing, class_name, collect_errors, number_classes, records_of_folders
from karsl.formats.persons import NOTE, select_person
from karsl.formats.safe_pickle import Trusted, check_trusted, load_safe_pickle
from karsl.io.file_list import Unread, has_file, has_suffix, list_tree
from karsl.io.missing import STRICT, MissingPoints
from karsl.io.pack_reader import ANNOTATIONS
from karsl.io.sources import FunctionSource
from karsl.schema import convert_numbers, read_json
from karsl.skeletons import Skeleton, describe_skeleton, get_skeleton

Frames = list[list[np.ndarray]]
"""Persons of each frame, each (V, C + 1): coordinates and a score."""
_FRAME = "_keypoints.json"
_OPENPOSE = {"pose_keypoints_2d": 25, "face_keypoints_2d": 70, "hand_left_keypoints_2d": 21, "hand_right_keypoints_2d": 21}
_SKELETONS = {17: "coco_17", 133: "coco_wholebody_133", 136: "halpe_136"}
_PIXELS = "coordinates are pixels, because the files have no picture size; use CenterScale in a pipeline"
_HEAD = re.compile(rb'^\s*\[\s*\{\s*"(?:frame_id|instances|keypoints)"|"instance_info"')
_MAX_SEARCHED = 10_000


def to_clip(
    frames: Frames, num_keypoints: int, *, where: str, person: int | None = None, missing: MissingPoints = STRICT
) -> np.ndarray:
    """Convert one person of each frame to a canonical clip, float32 (T, V, 4); a frame without the person is missing.

    Args:
        frames: Persons of each frame.
        num_keypoints: V.
        where: Name of the clip, for errors.
        person: Position of the person in each frame; None chooses, see `select_person`.
        missing: Rules that say which points are missing.

    Raises:
        CorruptRecordError: If a person has another number of points, or a point with a score is not finite.
    """
    count = max(map(len, frames), default=0)
    points = np.zeros((max(count, 1), len(frames), num_keypoints, 4), np.float32)
    for number, persons in enumerate(frames):
        for index, found in enumerate(persons):
            if found.shape[0] != num_keypoints or found.shape[1] not in (3, 4):
                raise CorruptRecordError(
                    f"{where}: frame {number} has a person of {found.shape[0]} points with {found.shape[1] - 1} "
                    f"coordinates; the skeleton has {num_keypoints} points"
                )
            axes = found.shape[1] - 1
            points[index, number, :, :axes], points[index, number, :, 3] = found[:, :axes], found[:, axes]
    points[..., 3] = np.where(np.isnan(points[..., :2]).all(-1), 0, np.clip(np.nan_to_num(points[..., 3]), 0, 1))
    clip = missing.clear(points[select_person(points[..., :3], points[..., 3], person, where=where)])
    clip[~(clip[..., 3] > 0)] = 0
    if not np.isfinite(clip).all():
        raise CorruptRecordError(f"{where} has points with a score above 0 and non-finite coordinates; export it again")
    return clip


def read_openpose(files: Iterable[Path]) -> Frames:
    """Read one frame per file."""
    return [[_openpose_person(person, path) for person in _items(_load(path), "people", path)] for path in files]


def _openpose_person(person: Any, path: Path) -> np.ndarray:
    groups = []
    for key, count in _OPENPOSE.items():
        values = _numbers((person.get(key) if isinstance(person, dict) else None) or [0] * 3 * count, path)
        if values.size != 3 * count:
            raise CorruptRecordError(f"{path}: {key} has {values.size} numbers; expected {count} points of x, y, score")
        groups.append(values.reshape(count, 3))
    return np.concatenate(groups)


def read_mmpose(path: Path) -> Frames:
    """Read the predictions of a video, or of one picture."""
    content = _load(path)
    frames = _items(content, "instance_info", path) if isinstance(content, dict) else content
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, dict) for frame in frames):
        raise CorruptRecordError(f"{path}: not a list of frames with 'instances'; is it a prediction of MMPose?")
    if "keypoints" in frames[0]:
        frames = [{"instances": frames}]
    ordered = sorted(frames, key=lambda frame: frame.get("frame_id", 0) if isinstance(frame.get("frame_id", 0), int) else 0)
    return [[_mmpose_person(person, path) for person in _items(frame, "instances", path)] for frame in ordered]


def _mmpose_person(person: Any, path: Path) -> np.ndarray:
    if not isinstance(person, dict) or "keypoints" not in person:
        raise CorruptRecordError(f"{path}: an instance has no 'keypoints'; is it a prediction of MMPose?")
    return _join(_numbers(person["keypoints"], path), person.get("keypoint_scores"), path)


def read_uni_sign(path: Path) -> Frames:
    """Read a pickle `{"keypoints": [...], "scores": [...]}` of a clip, one array (persons, V, 2) per frame, in shares."""
    content = load_safe_pickle(path, trusted=True)  # checked for all files before they are listed
    points, scores = (content.get(key) if isinstance(content, dict) else None for key in ("keypoints", "scores"))
    if not _is_sequence(points) or not _is_sequence(scores) or len(points) != len(scores):
        raise CorruptRecordError(f"{path}: not a dict with as many 'keypoints' as 'scores'; is it a pickle of Uni-Sign?")
    frames = []
    for in_frame, their_scores in zip(points, scores, strict=True):
        values, weights = _numbers(in_frame, path), _numbers(their_scores, path)
        values = values[None] if values.ndim == 2 else values
        if values.size == 0:  # a frame without a person
            frames.append([])
            continue
        if values.ndim != 3 or weights.size != values.shape[0] * values.shape[1]:
            shapes = f"keypoints of shape {values.shape} with scores of shape {weights.shape}"
            raise CorruptRecordError(f"{path}: {shapes}; expected (persons, points, 2) with a score per point")
        per_person = zip(values, weights.reshape(len(values), -1), strict=True)
        frames.append([_join(person, weight, path) for person, weight in per_person])
    return frames


def _is_sequence(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _join(points: np.ndarray, scores: Any, path: Path) -> np.ndarray:
    """Return points (V, C) with their scores as the last column; without scores, points at 0 are missing."""
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise CorruptRecordError(f"{path}: keypoints of shape {points.shape}; expected points of x, y and perhaps z")
    weights = (points != 0).any(-1) if scores is None else _numbers(scores, path).reshape(-1)
    if len(weights) != len(points):
        raise CorruptRecordError(f"{path}: {pluralize(len(weights), 'score')} of {len(points)} points; export it again")
    return np.concatenate([points, weights[:, None].astype(np.float32)], axis=1)


def _load(path: Path) -> Any:
    return read_json(path, error=CorruptRecordError, remedy="export it again")


def _items(content: Any, key: str, path: Path) -> list:
    items = content.get(key) if isinstance(content, dict) else None
    if not isinstance(items, list):
        raise CorruptRecordError(f"{path}: no list {key!r}; export it again")
    return items


def _numbers(values: Any, path: Path) -> np.ndarray:
    return convert_numbers(values, where=path, error=CorruptRecordError, remedy="export it again")


def _has_mmpose(path: Path) -> bool:
    """Return True for a json file of predictions, or a folder whose first json file below is one."""
    if path.is_dir():
        names = () if (path / ANNOTATIONS).is_file() else islice(list_tree(path, Unread()), _MAX_SEARCHED)
        first = next((path / name for name in names if has_suffix(name, (".json",))), None)
        return first is not None and _has_mmpose(first)
    if not path.is_file() or path.suffix.lower() != ".json":
        return False
    with path.open("rb") as stream:
        return _HEAD.search(stream.read(4096)) is not None


def _list_frames(root: Path) -> Listing:
    """Return a clip per name before `_<number>_keypoints.json`; its class is the folder above, or above one of its name."""
    unread = Unread()
    clips: dict[str, list[str]] = {}
    for name in unread.with_suffix(list_tree(root, unread), (_FRAME,)):
        clips.setdefault(re.sub(r"[_/]?\d+$", "", name[: -len(_FRAME)]) or root.name, []).append(name)
    if not clips:
        raise DatasetNotFoundError(f"no *{_FRAME} in {root}; expected files such as 'hello/clip/clip_000000000000{_FRAME}'")
    names = []
    for clip in map(Path, clips):
        folder = clip.parent if clip.parent.name != clip.name else clip.parent.parent
        names.append(class_name(folder.name or root.name))
    label = number_classes(names)
    records = [
        {"clip_id": clip, "label": label[name], "num_frames": len(files), "files": sorted(files)}
        for (clip, files), name in zip(clips.items(), names, strict=True)
    ]
    return Listing({"dataset_name": root.name, "classes": tuple(label)}, records, unread.notes())


@register_format(
    "openpose-json",
    description="<class>/<clip>/<clip>_000000000000_keypoints.json, a file per frame of OpenPose, BODY_25, face and hands",
    cannot_store="everything",
    detect=lambda path: has_file(path, (_FRAME,), below=True),
    priority=34,
    skeleton="openpose_137",
    has_persons=True,
)
def open_openpose(path: Path, *, missing: MissingPoints = STRICT, person: int | None = None, **_: Any) -> FunctionSource:
    """Open a folder of folders of frames."""
    clips, skeleton = _list_frames(path), get_skeleton("openpose_137")
    reader = partial(_read_openpose_clip, path, missing, person)
    notes = (*clips.notes, _PIXELS, f"if frames have several persons, {NOTE}; OpenPose does not follow a person")
    return FunctionSource({**clips.metainfo, "skeleton": skeleton.name}, skeleton, clips.records, reader, notes)


def _read_openpose_clip(root: Path, missing: MissingPoints, person: int | None, record: dict) -> np.ndarray:
    frames = read_openpose(root / name for name in record["files"])
    return to_clip(frames, sum(_OPENPOSE.values()), where=record["clip_id"], person=person, missing=missing)


@register_format(
    "mmpose-json",
    description="<class>/<clip>.json, predictions of MMPose's inferencer for a video",
    cannot_store="everything",
    detect=_has_mmpose,
    priority=35,
    has_persons=True,
)
def open_mmpose(
    path: Path, *, skeleton: Skeleton | None = None, missing: MissingPoints = STRICT, person: int | None = None, **_: Any
) -> FunctionSource:
    """Open a file or a folder of folders of files. The number of points names the skeleton, unless one is requested.

    Raises:
        AnnotationError: If no skeleton has the number of points, and none is requested.
        DataErrors: If no file can be read, with all problems.
    """
    return _open_files(path, ".json", read_mmpose, skeleton, missing, person, notes=(_PIXELS,))


@register_format(
    "uni-sign",
    description="<class>/<clip>.pkl, 133 points per frame of Uni-Sign, RTMPose and DWPose; read with --trust-pickle FOLDER",
    cannot_store="everything",
    detect=lambda path: path.is_dir() and has_file(path, (".pkl",), below=True),
    priority=105,
    has_persons=True,
)
def open_uni_sign(
    path: Path,
    *,
    skeleton: Skeleton | None = None,
    trusted: Trusted = (),
    missing: MissingPoints = STRICT,
    person: int | None = None,
    **_: Any,
) -> FunctionSource:
    """Open a trusted pickle or a folder of folders of them, see `open_mmpose`.

    Raises:
        ConfigError: If a file is not trusted.
    """
    check_trusted([path], trusted)
    return _open_files(path, ".pkl", read_uni_sign, skeleton, missing, person)


def _open_files(
    path: Path,
    suffix: str,
    read: Callable[[Path], Frames],
    skeleton: Skeleton | None,
    missing: MissingPoints,
    person: int | None,
    notes: Sequence[str] = (),
) -> FunctionSource:
    """Open files with a clip each."""
    root = path if path.is_dir() else path.parent
    single = [{"clip_id": path.stem, "label": 0, "file": path.name}]
    one = Listing({"dataset_name": path.stem, "classes": (class_name(path.stem),)}, single)
    clips = records_of_folders(path, suffix) if path.is_dir() else one
    records: list[dict] = []
    problems: list[str] = []
    several = 0
    for record in clips.records:
        with collect_errors(problems):
            frames = read(root / record["file"])
            if not frames:
                raise CorruptRecordError(f"{root / record['file']}: no frames; export it again")
            skeleton = skeleton or _skeleton_of(frames, root / record["file"])
            several += max(map(len, frames)) > 1
            records.append({**record, "num_frames": len(frames)})
    if skeleton is None:
        raise DataErrors(str(path), problems or ["no clip has a person; is the format right?"])
    seen = [f"several persons in {pluralize(several, 'clip')}; {NOTE}"] if several else []
    metainfo = {**clips.metainfo, "skeleton": describe_skeleton(skeleton)}
    reader = partial(_read_file_clip, root, read, skeleton.num_keypoints, missing, person)
    return FunctionSource(metainfo, skeleton, records, reader, (*clips.notes, *notes, *seen), problems=tuple(problems))


def _skeleton_of(frames: Frames, path: Path) -> Skeleton | None:
    """Return the skeleton with as many points as the first person; None if there is no person."""
    person = next((persons[0] for persons in frames if persons), None)
    if person is None:
        return None
    if len(person) not in _SKELETONS:
        known = ", ".join(f"{count} ({name})" for count, name in _SKELETONS.items())
        raise AnnotationError(f"{path}: {len(person)} points per person, known are {known}; pass --source-skeleton NAME")
    return get_skeleton(_SKELETONS[len(person)])


def _read_file_clip(
    root: Path, read: Callable[[Path], Frames], num_keypoints: int, missing: MissingPoints, person: int | None, record: dict
) -> np.ndarray:
    path = root / record["file"]
    return to_clip(read(path), num_keypoints, where=str(path), person=person, missing=missing)
