"""`.pose` files (sign-language-processing/pose), one per clip, read and written with the pose-format library.

Keypoint names are translated from and to the components of MediaPipe Holistic and OpenPose.

Source: https://github.com/sign-language-processing/pose/blob/master/docs/specs/v0.2.md, and the components in
`pose_format.utils.holistic` and `pose_format.utils.openpose`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import CorruptRecordError, DataErrors, missing_extra
from karsl.formats.base import SUPPORTS_ALL, ConversionJob, file_with_suffix, register_format
from karsl.formats.folders import (
    SIDECAR,
    Listing,
    UniqueNames,
    class_folders,
    class_name,
    collect_errors,
    read_sidecar,
    records_of_folders,
)
from karsl.formats.persons import NOTE, select_person
from karsl.io.annotations import write_data_list
from karsl.io.file_list import has_file
from karsl.io.missing import STRICT, MissingPoints
from karsl.io.npy import BROKEN
from karsl.io.sources import FunctionSource, public_record, remap_clip
from karsl.skeletons import Skeleton, describe_skeleton, get_skeleton, skeleton_names
from karsl.skeletons.layouts import BODY_25, FACE_70
from karsl.skeletons.mediapipe import POSE_33, VERTEX_NAMES, hand, mediapipe_skeleton

IMAGE_SIZE = 1000  # width and height that are written, since coordinates in files are pixels
DEFAULT_FPS = 25.0  # required by the format; copies of KArSL disagree between 25 and 30
NOT_READ = {"POSE_WORLD_LANDMARKS": "it repeats the pose in metres relative to the hips"}
_BROKEN = (*BROKEN, struct.error, MemoryError, AttributeError)

OWN_PREFIX = "KARSL_"  # KARSL_<group> holds points that neither vocabulary has, under karsl's names
_GROUPS = {
    "POSE_LANDMARKS": "pose",
    "FACE_LANDMARKS": "face",
    "LEFT_HAND_LANDMARKS": "lh",
    "RIGHT_HAND_LANDMARKS": "rh",
    "pose_keypoints_2d": "pose",
    "face_keypoints_2d": "face",
    "hand_left_keypoints_2d": "lh",
    "hand_right_keypoints_2d": "rh",
}
_OPENPOSE_BODY = (
    *("Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "MidHip", "RHip", "RKnee", "RAnkle"),
    *("LHip", "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar"),
    *("LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel"),
)
_OPENPOSE_HAND = (
    *("BASE", "T_STT", "T_BCMC", "T_MCP", "T_IP"),
    *(f"{finger}_{joint}" for finger in "IMRP" for joint in ("CMC", "MCP", "PIP", "DIP")),
)
_FACE_ENDS = {"FB": 17, "FEB": 27, "FN": 36, "FE": 48, "FLO": 60, "FLI": 68, "FP": 70}  # parts of the face, by their end
_OPENPOSE_FACE = tuple(f"{next(part for part, end in _FACE_ENDS.items() if n < end)}_{n}" for n in range(70))
Vocabulary = dict[str, dict[str, str]]


def _mediapipe_hand_point(name: str) -> str:
    """Return INDEX_FINGER_MCP for 'left_hand_index_mcp', THUMB_CMC for 'left_hand_thumb_cmc'."""
    return re.sub(r"^(index|middle|ring)_", r"\1_finger_", name.split("_hand_")[1]).upper()


@cache
def vocabularies() -> tuple[Vocabulary, Vocabulary]:
    """Return the components of MediaPipe and OpenPose: per component, karsl's name of each point to the file's name.

    Example:
        >>> mediapipe, openpose = vocabularies()
        >>> mediapipe["LEFT_HAND_LANDMARKS"]["left_hand_index_mcp"], openpose["pose_keypoints_2d"]["left_big_toe"]
        ('INDEX_FINGER_MCP', 'LBigToe')
    """
    hands = {"LEFT_HAND_LANDMARKS": hand("left"), "RIGHT_HAND_LANDMARKS": hand("right")}
    mediapipe = {
        "POSE_LANDMARKS": {name: name.upper() for name in POSE_33},
        "FACE_LANDMARKS": {name: str(vertex) for vertex, name in enumerate(VERTEX_NAMES)},
        **{component: {name: _mediapipe_hand_point(name) for name in names} for component, names in hands.items()},
    }
    openpose = {
        "pose_keypoints_2d": dict(zip(BODY_25, _OPENPOSE_BODY, strict=True)),
        "face_keypoints_2d": dict(zip(FACE_70, _OPENPOSE_FACE, strict=True)),
        "hand_left_keypoints_2d": dict(zip(hand("left"), _OPENPOSE_HAND, strict=True)),
        "hand_right_keypoints_2d": dict(zip(hand("right"), _OPENPOSE_HAND, strict=True)),
    }
    return mediapipe, openpose


@cache
def _file_to_karsl(component: str) -> dict[str, str] | None:
    """Return a dict from a component's names of points to karsl's, or None if neither vocabulary has the component."""
    known = next((v[component] for v in vocabularies() if component in v), None)
    return None if known is None else {file_name: name for name, file_name in known.items()}


def group_of(component: str) -> str:
    """Return the skeleton group of a component.

    Example:
        >>> group_of("hand_left_keypoints_2d"), group_of("KARSL_tail"), group_of("Tongue")
        ('lh', 'tail', 'tongue')
    """
    if component.startswith(OWN_PREFIX):
        return component.removeprefix(OWN_PREFIX)
    return _GROUPS.get(component, component.lower())


def karsl_names(component: str, points: list[str]) -> tuple[str | None, ...]:
    """Return karsl's names of a component's points. None for a point that its vocabulary does not have.

    Example:
        >>> karsl_names("RIGHT_HAND_LANDMARKS", ["WRIST", "PINKY_TIP"]), karsl_names("Tongue", ["Tip"])
        (('right_hand_wrist', 'right_hand_pinky_tip'), ('tongue_tip',))
    """
    known, is_own = _file_to_karsl(component), component.startswith(OWN_PREFIX)
    name: Callable[[str], str | None] = known.get if known else (lambda p: p if is_own else f"{component}_{p}".lower())
    return tuple(name(point) for point in points)


def components_of(parts: tuple[tuple[str, tuple[str, ...]], ...]) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Return the components to write for the groups of a skeleton: component, karsl's names, names in the file.

    The vocabulary that has more of the points is used. Other points go to components with `OWN_PREFIX`.

    Example:
        >>> components_of((("pose", ("right_wrist", "nose", "tail_0")),))
        [('POSE_LANDMARKS', ('nose', 'right_wrist'), ('NOSE', 'RIGHT_WRIST')), ('KARSL_pose', ('tail_0',), ('tail_0',))]
    """
    remaining = {name for _, names in parts for name in names}
    vocabulary = max(vocabularies(), key=lambda v: sum(len(remaining & points.keys()) for points in v.values()))
    components = []
    for component, points in vocabulary.items():
        names = tuple(n for n in points if n in remaining)
        if names:
            components.append((component, names, tuple(points[n] for n in names)))
            remaining -= set(names)
    for group, group_names in parts:
        names = tuple(n for n in group_names if n in remaining)
        if names:
            components.append((OWN_PREFIX + group, names, names))
    return components


def _require_pose_format() -> Any:
    try:
        import pose_format
    except ImportError:
        raise missing_extra("pose", "pose-format") from None
    return pose_format


def _read(path: Path, *, header_only: bool = False) -> Any:
    pose_format = _require_pose_format()
    from pose_format.pose_body import EmptyPoseBody

    if not path.is_file():
        raise CorruptRecordError(f"{path}: no such file; was it moved after it was listed?")
    try:
        with path.open("rb") as stream:
            if not header_only:
                return pose_format.Pose.read(stream.read())
            return pose_format.Pose.read(stream, pose_body=EmptyPoseBody)
    except NotImplementedError:  # version 0.0 has no frame count that can be read alone
        if header_only:
            return _read(path)
        raise CorruptRecordError(f"{path}: pose-format does not support this version of .pose; convert the file") from None
    except _BROKEN as error:
        raise CorruptRecordError(f"{path}: not a readable .pose file ({error}); export it again") from error


def _file_skeleton(components: Sequence[Any]) -> tuple[Skeleton, np.ndarray]:
    """Return the skeleton of a file, and the index, int64 (V,), of its points among all points of the file.

    Components in `NOT_READ` and points without a name of karsl are left out. A skeleton with equal names is preferred over a
    new one.
    """
    parts, indices, start = [], [], 0
    for component in components:
        names = karsl_names(component.name, component.points)
        used = [(i, n) for i, n in enumerate(names) if n and component.name not in NOT_READ]
        if used:
            parts.append((group_of(component.name), tuple(n for _, n in used)))
            indices += [start + i for i, _ in used]
        start += len(component.points)
    skeleton = mediapipe_skeleton("pose_file", *parts)
    known = (get_skeleton(n) for n in skeleton_names())
    return next((s for s in known if s.names == skeleton.names), skeleton), np.array(indices, dtype=np.int64)


def _read_clip(root: Path, target: Skeleton, missing: MissingPoints, person: int | None, record: dict) -> np.ndarray:
    path = root / record["file"]
    pose = _read(path)
    skeleton, indices = _file_skeleton(pose.header.components)
    clip = _to_clip(pose, missing, person, where=str(path))[:, indices]
    return clip if skeleton.names == target.names else remap_clip(clip, target.mapping_from(skeleton))


def _to_clip(pose: Any, missing: MissingPoints, person: int | None, *, where: str) -> np.ndarray:
    """Return float32 (T, all points of the file, 4) of one person with pixels divided by the image size.

    See `select_person`. A point with a confidence but with NaN coordinates is missing. Without an image size, pixels stay.
    """
    data, score = np.ma.getdata(pose.body.data), np.asarray(pose.body.confidence, np.float32)
    if data.ndim != 4 or not data.shape[0] or not data.shape[1]:
        raise CorruptRecordError(f"{where}: data of shape {data.shape}, no frames or no person; export it again")
    axes = min(3, data.shape[3])
    score = np.where(np.isnan(data[..., :2]).all(-1), np.float32(0), np.clip(np.nan_to_num(score), 0, 1))
    person = select_person(np.moveaxis(data, 1, 0), np.moveaxis(score, 1, 0), person, where=where)
    points = missing.clear(np.concatenate([data[:, person, :, :axes], score[:, person, :, None]], axis=-1))
    clip = np.zeros((*points.shape[:2], 4), np.float32)
    clip[..., :axes], clip[..., 3] = points[..., :-1], points[..., -1]
    clip[..., :2] /= np.array(_image_size(pose) or (1, 1), np.float32)
    clip[clip[..., 3] == 0] = 0
    if not np.isfinite(clip).all():
        raise CorruptRecordError(f"{where}: points with a confidence above 0 have non-finite coordinates; export it again")
    return clip


def _image_size(pose: Any) -> tuple[int, int] | None:
    """Return width and height of the image, or None if the file does not say (0 is common, for drawing only)."""
    size = pose.header.dimensions
    return (size.width, size.height) if min(size.width, size.height) > 0 else None


def write_pose(out: Path, job: ConversionJob) -> None:
    """Write one file per clip, in one folder per class, and the sidecar."""
    _require_pose_format()
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderDimensions

    components, order = _header_components(job.skeleton)
    header = PoseHeader(0.2, PoseHeaderDimensions(IMAGE_SIZE, IMAGE_SIZE, 0), components)
    folders, names, records = class_folders(job.metainfo["classes"]), UniqueNames(), []
    for record, clip in job.clips():
        clip = clip[:, order]
        data = clip[:, None, :, :3] * np.array([IMAGE_SIZE, IMAGE_SIZE, 1], np.float32)
        body = NumPyPoseBody(float(record.get("fps", DEFAULT_FPS)), data, clip[:, None, :, 3])
        folder = folders[record["label"]]
        file = f"{folder}/{names.name(folder, record['clip_id'])}.pose"
        (out / folder).mkdir(exist_ok=True)
        with (out / file).open("wb") as stream:
            Pose(header, body).write(stream)
        records.append({**public_record(record), "file": file})
    write_data_list(out / SIDECAR, {**job.metainfo, "skeleton": describe_skeleton(job.skeleton)}, records)


def _header_components(skeleton: Skeleton) -> tuple[list[Any], np.ndarray]:
    """Return pose-format's components of a skeleton, and the indices of its points in their order."""
    from pose_format.pose_header import PoseHeaderComponent

    components, order = [], []
    for name, names, file_names in components_of(skeleton.parts):
        index = {n: i for i, n in enumerate(names)}
        limbs = [(index[a], index[b]) for a, b in skeleton.bones if a in index and b in index]
        colors = [(31, 119, 180)] * max(1, len(limbs))
        components.append(PoseHeaderComponent(name, list(file_names), limbs, colors, "XYZC"))
        order += list(names)
    return components, skeleton.indices(order)


@register_format(
    "pose",
    description="<class>/<clip>.pose, MediaPipe Holistic or OpenPose; pose-format reads it",
    cannot_store="nothing; world landmarks and further persons are not read",
    detect=lambda path: file_with_suffix(".pose")(path) or has_file(path, (".pose",), below=True),
    priority=90,
    writer=write_pose,
    supports=SUPPORTS_ALL,
    extra="pose",
    has_persons=True,
)
def open_pose(
    path: Path, *, skeleton: Skeleton | None = None, missing: MissingPoints = STRICT, person: int | None = None, **_: Any
) -> FunctionSource:
    """Open a file or a folder of files. Folders are classes unless there is a `clips.json`.

    Raises:
        MissingExtraError: If pose-format is not installed.
        DataErrors: If no file can be read, with all problems.
    """
    root = path if path.is_dir() else path.parent
    clips = _list_clips(path)
    if skeleton is None and "skeleton" in clips.metainfo:
        skeleton = get_skeleton(clips.metainfo["skeleton"])
    first = skeleton
    notes: set[str] = set()
    records: list[dict] = []
    problems: list[str] = []
    for record in clips.records:
        with collect_errors(problems):
            pose = _read(root / record["file"], header_only=True)
            found = _file_skeleton(pose.header.components)[0]
            first = first or found
            if skeleton is None and found.names != first.names:
                differing = f"{found.num_keypoints} points that differ from the first file's"
                problems.append(f"{record['file']} has {differing}; pass a skeleton")
                continue
            records.append({**record, "num_frames": pose.body.data.shape[0], "fps": float(pose.body.fps)})
            notes |= _notes(pose)
    if first is None:
        raise DataErrors(str(path), problems)
    metainfo = {**clips.metainfo, "skeleton": describe_skeleton(first)}
    reader = partial(_read_clip, root, first, missing, person)
    return FunctionSource(metainfo, first, records, reader, (*clips.notes, *sorted(notes)), problems=tuple(problems))


def _list_clips(path: Path) -> Listing:
    """Return the clip of a file, or those of a folder by its sidecar or its subfolders."""
    if path.is_dir():
        return read_sidecar(path) or records_of_folders(path, ".pose")
    record = {"clip_id": path.stem, "label": 0, "file": path.name}
    return Listing({"dataset_name": path.stem, "classes": (class_name(path.stem),)}, [record])


def _notes(pose: Any) -> set[str]:
    """Return one sentence for each kind of content that is not read."""
    notes = set()
    for component in pose.header.components:
        if component.name in NOT_READ:
            notes.add(f"component {component.name} is not read: {NOT_READ[component.name]}")
        elif None in karsl_names(component.name, component.points):
            notes.add(f"component {component.name} has unknown points, which are not read")
        if component.format not in ("XYC", "XYZC"):
            notes.add(f"points have the values {component.format}; only x, y, z and confidence are read")
    if pose.body.data.shape[1] > 1:
        notes.add(f"some files have several persons; {NOTE}")
    if _image_size(pose) is None:
        notes.add("some files do not say the size of the image (0 x 0); their coordinates are read as they are")
    return notes
