"""Sign files of the ASL-App: one json per sign, with lists of points per frame and group, `null` for a missing point."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import CorruptRecordError, DataErrors
from karsl.formats.base import register_format
from karsl.formats.folders import class_name, collect_errors, files_with_suffix, number_classes
from karsl.io.file_list import has_suffix, visible_files
from karsl.io.missing import STRICT, MissingPoints
from karsl.io.pack_reader import ANNOTATIONS
from karsl.io.sources import FunctionSource
from karsl.schema import convert_numbers, read_json
from karsl.skeletons import get_skeleton

_METADATA = "metadata.json"
_GROUPS = {"pose": "pose", "face": "face", "lh": "left_hand", "rh": "right_hand"}


def _is_asl_app(path: Path) -> bool:
    """Return True if a json file, or the first one in a folder without annotation file, has a list of frames."""
    if path.is_dir() and (path / ANNOTATIONS).is_file():
        return False
    files = [path] if path.is_file() else visible_files(path)
    file = next((f for f in files if has_suffix(f.name, (".json",)) and f.name != _METADATA), None)
    if file is None:
        return False
    with file.open("rb") as stream:
        head = stream.read(4096)
    return re.search(rb'"frames"\s*:\s*\[', head) is not None  # a class may be "frames" in files of other formats


def _read_clip(root: Path, missing: MissingPoints, record: dict) -> np.ndarray:
    path = root / record["file"]
    return missing.clear(to_clip(_load_sign(path)["frames"], where=str(path)))


def to_clip(frames: list[dict], *, where: str) -> np.ndarray:
    """Convert the frames of a sign to a canonical clip, float32 (T, V, 4) of `asl_app_108`. Present points have score 1.

    Args:
        frames: Dicts `{"pose": [[x, y, z] or None] * 33, "face": ..., "left_hand": ..., "right_hand": ...}`. A group that
            is None is missing entirely.
        where: Name of the clip, for errors.

    Raises:
        CorruptRecordError: If a group has the wrong number of points, or a point is not three finite numbers.
    """
    skeleton = get_skeleton("asl_app_108")
    clip = np.zeros((len(frames), skeleton.num_keypoints, 4), np.float32)
    for group, part in skeleton.groups.items():
        for number, frame in enumerate(frames):
            points = frame.get(_GROUPS[group]) or [None] * (part.stop - part.start) if isinstance(frame, dict) else None
            if not isinstance(points, list):
                raise CorruptRecordError(f"{where}: frame {number} is not a dict of lists of points; export it again")
            if len(points) != part.stop - part.start:
                raise CorruptRecordError(f"{where}: frame {number} has {len(points)} points of {_GROUPS[group]}")
            present = [index for index, point in enumerate(points, start=part.start) if point is not None]
            if present:
                clip[number, present, :3] = _coordinates([p for p in points if p is not None], f"{where}: frame {number}")
                clip[number, present, 3] = 1
    return clip


def _coordinates(points: list, where: str) -> np.ndarray:
    values = convert_numbers(points, where=where, error=CorruptRecordError, remedy="export it again")
    if values.shape != (len(points), 3) or not np.isfinite(values).all():
        raise CorruptRecordError(f"{where}: points are not three finite numbers each, but {values.shape}; export it again")
    return values


def _load_sign(path: Path) -> dict:
    content = read_json(path, error=CorruptRecordError, remedy="export it again")
    if not isinstance(content, dict) or not isinstance(content.get("frames"), list) or not content["frames"]:
        raise CorruptRecordError(f"{path}: not a dict with a list of 'frames'; export it again")
    return content


@register_format(
    "asl-app",
    description="<sign>.json, a list of frames by group (ASL-App)",
    cannot_store="everything",
    detect=_is_asl_app,
    priority=30,
    skeleton="asl_app_108",
)
def open_asl_app(path: Path, *, missing: MissingPoints = STRICT, **_: Any) -> FunctionSource:
    """Open a sign file or a folder of them. The class is the value of 'sign', or the file name.

    Raises:
        DatasetNotFoundError: If the folder has no json file.
        DataErrors: If no file is of this format, with the problem of each.
    """
    root, files, notes = files_with_suffix(path, ".json", expected="one file per sign, such as 'hello.json'")
    signs: list[str] = []
    records: list[dict] = []
    problems: list[str] = []
    for file in [f for f in files if f.name != _METADATA or f == path]:
        with collect_errors(problems):
            content = _load_sign(file)
            signs.append(class_name(str(content.get("sign", file.stem))))
            fps = {"fps": content["fps"]} if isinstance(content.get("fps"), (int, float)) else {}
            records.append({"clip_id": file.stem, "num_frames": len(content["frames"]), **fps, "file": file.name})
    if not records:
        raise DataErrors(str(path), problems)
    label = number_classes(signs)
    labeled = [{**record, "label": label[sign]} for record, sign in zip(records, signs, strict=True)]
    metainfo = {"dataset_name": root.name, "skeleton": "asl_app_108", "classes": tuple(label)}
    reader = partial(_read_clip, root, missing)
    return FunctionSource(metainfo, get_skeleton("asl_app_108"), labeled, reader, notes, problems=tuple(problems))
