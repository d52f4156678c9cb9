"""`.pose` files (sign-language-processing/pose), one a clip, by way of the pose-format library."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import CorruptRecordError, DataErrors, missing_extra
from karsl.skeletons import Skeleton, describe_skeleton, get_skeleton, skeleton_names
from karsl.skeletons.mediapipe import mediapipe_skeleton
from karsl.storage.annotation import write_list
from karsl.storage.clip_source import Clips, public
from karsl.storage.convert.job import Job
from karsl.storage.convert.mapped import map_clip
from karsl.storage.convert.naming import FreshNames, class_folders
from karsl.storage.convert.pose_names import NOT_READ, components_of, group_of, our_names
from karsl.storage.convert.sidecar import SIDECAR, read_sidecar, records_of_folders
from karsl.storage.npy import BROKEN

PICTURE = 1000  # width and height that are written; coordinates in files are pixels
DEFAULT_FPS = 25.0  # files must say one; KArSL's sources disagree between 25 and 30
_BROKEN = (*BROKEN, struct.error, MemoryError, AttributeError)


def _library() -> Any:
    try:
        import pose_format
    except ImportError:
        raise missing_extra("pose", "pose-format") from None
    return pose_format


def _read(path: Path, *, header_only: bool = False) -> Any:
    pose_format = _library()
    from pose_format.pose_body import EmptyPoseBody

    if not path.is_file():
        raise CorruptRecordError(f"{path}: no such file; was it moved after it was listed?")
    try:
        with path.open("rb") as stream:
            if not header_only:
                return pose_format.Pose.read(stream.read())
            return pose_format.Pose.read(stream, pose_body=EmptyPoseBody)
    except NotImplementedError:  # version 0.0 has no count of frames to be read alone
        if header_only:
            return _read(path)
        raise CorruptRecordError(f"{path}: a version of .pose that pose-format does not read") from None
    except _BROKEN as error:
        raise CorruptRecordError(f"{path}: no readable .pose file ({error}); make it again") from error


def file_skeleton(components: Sequence[Any], name: str = "pose_file") -> tuple[Skeleton, np.ndarray]:
    """The points of a file's components, and the places of these among all points of the file.

    Args:
        components: Of the header; those in `NOT_READ` and points that have no name of ours are left out.
        name: Of the skeleton, unless it is one that we know.

    Returns:
        The skeleton, and int64 (V,), its points' places.
    """
    parts, places, start = [], [], 0
    for component in components:
        names = our_names(component.name, component.points)
        kept = [(i, n) for i, n in enumerate(names) if n and component.name not in NOT_READ]
        if kept:
            parts.append((group_of(component.name), tuple(n for _, n in kept)))
            places += [start + i for i, _ in kept]
        start += len(component.points)
    skeleton = mediapipe_skeleton(name, *parts)
    known = (get_skeleton(n) for n in skeleton_names())
    return next((s for s in known if s.names == skeleton.names), skeleton), np.array(places, dtype=np.int64)


@dataclass(frozen=True)
class _PoseReader:
    root: Path
    skeleton: Skeleton

    def __call__(self, record: dict) -> np.ndarray:
        path = self.root / record["file"]
        pose = _read(path)
        skeleton, places = file_skeleton(pose.header.components)
        clip = _canonical(pose, where=str(path))[:, places]
        return clip if skeleton.names == self.skeleton.names else map_clip(clip, self.skeleton.mapping_from(skeleton))


def _canonical(pose: Any, *, where: str) -> np.ndarray:
    """float32 (T, all points of the file, 4) of the person seen best; pixels become shares of the picture."""
    data, score = np.ma.getdata(pose.body.data), np.clip(np.asarray(pose.body.confidence, np.float32), 0, 1)
    size = pose.header.dimensions
    if data.ndim != 4 or not data.shape[0] or not data.shape[1] or min(size.width, size.height) < 1:
        raise CorruptRecordError(f"{where}: holds {data.shape} in a picture of {size.width} x {size.height}; make it again")
    person = int(score.sum((0, 2)).argmax())
    clip = np.zeros((*score[:, person].shape, 4), np.float32)
    kept = min(3, data.shape[3])
    clip[..., :kept], clip[..., 3] = data[:, person, :, :kept], score[:, person]
    clip[..., :2] /= np.array([size.width, size.height], np.float32)
    clip[clip[..., 3] == 0] = 0
    if not np.isfinite(clip).all():
        raise CorruptRecordError(f"{where}: points with a confidence above 0 have no number as coordinate; make it again")
    return clip


def open_pose(path: Path, *, skeleton: Skeleton | None = None, **_: Any) -> Clips:
    """Open a file or a folder of files, where folders are classes unless `clips.json` says more.

    Raises:
        MissingExtraError: pose-format is not installed.
        DataErrors: Files that cannot be read, or, without `skeleton`, with other points than the first, all at once.
    """
    root = path if path.is_dir() else path.parent
    known = read_sidecar(root) if path.is_dir() else None
    metainfo, records = known or (records_of_folders(root, "*.pose") if path.is_dir() else _single(path))
    if known and skeleton is None and "skeleton" in metainfo:
        skeleton = get_skeleton(metainfo["skeleton"])
    first, notes, problems = skeleton, set(), []
    for record in records:
        try:
            header = _read(root / record["file"], header_only=True)
        except CorruptRecordError as error:
            problems.append(str(error))
            continue
        found, _places = file_skeleton(header.header.components)
        first = first or found
        if skeleton is None and found.names != first.names:
            problems.append(
                f"{record['file']} has {found.num_keypoints} other points than the first; give a skeleton to map to"
            )
        record |= {"num_frames": header.body.data.shape[0], "fps": float(header.body.fps)}
        notes |= _not_read(header)
    if problems or first is None:
        raise DataErrors(str(path), problems)
    metainfo = {**metainfo, "skeleton": describe_skeleton(first)}
    return Clips(metainfo, first, records, _PoseReader(root, first), tuple(sorted(notes)))


def _single(path: Path) -> tuple[dict, list[dict]]:
    return {"dataset_name": path.stem, "classes": (path.stem,)}, [{"clip_id": path.stem, "label": 0, "file": path.name}]


def _not_read(pose: Any) -> set[str]:
    """One sentence for each kind of thing in a file that is not read."""
    notes = set()
    for component in pose.header.components:
        if component.name in NOT_READ:
            notes.add(f"component {component.name} is not read: {NOT_READ[component.name]}")
        elif None in our_names(component.name, component.points):
            notes.add(f"component {component.name} has points that are not among its own names; they are not read")
        if component.format not in ("XYC", "XYZC"):
            notes.add(f"points hold {component.format}; of these x, y, z and confidence are read")
    if pose.body.data.shape[1] > 1:
        notes.add("some files hold several persons; the one seen best is read")
    return notes


def write_pose(out: Path, job: Job) -> None:
    """One file for each clip, in a folder for each class, and the sidecar."""
    _library()
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderDimensions

    components, order = _components(job.skeleton)
    header = PoseHeader(0.2, PoseHeaderDimensions(PICTURE, PICTURE, 0), components)
    folders, fresh, records = class_folders(job.metainfo["classes"]), FreshNames(), []
    for record, clip in job.clips():
        clip = clip[:, order]
        data = clip[:, None, :, :3] * np.array([PICTURE, PICTURE, 1], np.float32)
        body = NumPyPoseBody(float(record.get("fps", DEFAULT_FPS)), data, clip[:, None, :, 3])
        gloss = folders[record["label"]]
        file = f"{gloss}/{fresh.name(gloss, record['clip_id'])}.pose"
        (out / gloss).mkdir(exist_ok=True)
        with (out / file).open("wb") as stream:
            Pose(header, body).write(stream)
        records.append({**public(record), "file": file})
    write_list(out / SIDECAR, {**job.metainfo, "skeleton": describe_skeleton(job.skeleton)}, records)


def _components(skeleton: Skeleton) -> tuple[list[Any], np.ndarray]:
    """pose-format's components for a skeleton, and the places of its points in their order."""
    from pose_format.pose_header import PoseHeaderComponent

    components, order = [], []
    for name, ours, theirs in components_of(skeleton.parts):
        at = {n: i for i, n in enumerate(ours)}
        limbs = [(at[a], at[b]) for a, b in skeleton.bones if a in at and b in at]
        colors = [(31, 119, 180)] * max(1, len(limbs))
        components.append(PoseHeaderComponent(name, list(theirs), limbs, colors, "XYZC"))
        order += list(ours)
    return components, skeleton.indices(order)
