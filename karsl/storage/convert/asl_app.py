"""The ASL-App's sign files: a json a sign, frames as lists of points by group, `null` where a point is missing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import CorruptRecordError, DataErrors, DatasetNotFoundError
from karsl.skeletons import get_skeleton
from karsl.storage.clip_source import Clips

_GROUPS = {"pose": "pose", "face": "face", "lh": "left_hand", "rh": "right_hand"}
_NOT_CLIPS = ("metadata.json",)


@dataclass(frozen=True)
class _SignReader:
    root: Path

    def __call__(self, record: dict) -> np.ndarray:
        path = self.root / record["file"]
        return clip_of(_content(path)["frames"], where=str(path))


def clip_of(frames: list[dict], *, where: str) -> np.ndarray:
    """The canonical clip of some frames; points have no scores, so those that are there get 1.

    Args:
        frames: Each `{"pose": [[x, y, z] or None] * 33, "face": ..., "left_hand": ..., "right_hand": ...}`; a group that
            is None is missing as a whole.
        where: Names the clip in errors.

    Raises:
        CorruptRecordError: A group of another size, or a point that is not three numbers.
    """
    skeleton = get_skeleton("asl_app_108")
    clip = np.zeros((len(frames), skeleton.num_keypoints, 4), np.float32)
    for group, part in skeleton.groups.items():
        for number, frame in enumerate(frames):
            points = frame.get(_GROUPS[group]) or [None] * (part.stop - part.start)
            if len(points) != part.stop - part.start:
                raise CorruptRecordError(f"{where}: frame {number} has {len(points)} points of {_GROUPS[group]}")
            there = [place for place, point in enumerate(points, start=part.start) if point is not None]
            if there:
                clip[number, there, :3] = _coordinates([p for p in points if p is not None], f"{where}: frame {number}")
                clip[number, there, 3] = 1
    return clip


def _coordinates(points: list, where: str) -> np.ndarray:
    try:
        values = np.array(points, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise CorruptRecordError(f"{where}: points are not x, y, z ({error})") from error
    if values.shape != (len(points), 3) or not np.isfinite(values).all():
        raise CorruptRecordError(f"{where}: points are not three finite numbers each, but {values.shape}")
    return values


def _content(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CorruptRecordError(f"{path}: not readable as json ({error})") from error
    if not isinstance(content, dict) or not isinstance(content.get("frames"), list) or not content["frames"]:
        raise CorruptRecordError(f"{path}: not a dict with a list of 'frames'")
    return content


def open_asl_app(path: Path, **_: Any) -> Clips:
    """Open a sign's file or a folder of them; a class is what 'sign' says, or the file's name.

    Raises:
        DatasetNotFoundError: No json in the folder.
        DataErrors: Files that are not of this form, all at once.
    """
    root, files = (path, sorted(path.glob("*.json"))) if path.is_dir() else (path.parent, [path])
    files = [f for f in files if f.name not in _NOT_CLIPS]
    if not files:
        raise DatasetNotFoundError(f"no .json in {path}; expected a file a sign, such as 'hello.json'")
    found, problems = [], []
    for file in files:
        try:
            content = _content(file)
        except CorruptRecordError as error:
            problems.append(str(error))
            continue
        facts = {"fps": float(content["fps"])} if isinstance(content.get("fps"), (int, float)) else {}
        found.append((str(content.get("sign", file.stem)), file, len(content["frames"]), facts))
    if problems:
        raise DataErrors(str(path), problems)
    classes = tuple(sorted({sign for sign, *_ in found}))
    label = {sign: i for i, sign in enumerate(classes)}
    records = [
        {"clip_id": f.stem, "label": label[sign], "num_frames": frames, **facts, "file": f.name}
        for sign, f, frames, facts in found
    ]
    metainfo = {"dataset_name": root.name, "skeleton": "asl_app_108", "classes": classes}
    return Clips(metainfo, get_skeleton("asl_app_108"), records, _SignReader(root))
