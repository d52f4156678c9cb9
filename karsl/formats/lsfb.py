"""Tars of LSFB and of sldl: several arrays per sample, one for each group of MediaPipe's landmarks.

A sample has `<id>.pose.npy`, `<id>.face.npy`, `<id>.left_hand.npy` and `<id>.right_hand.npy`, of which some can be absent in
all samples, and `<id>.class` with the word or `<id>.idx` with its number.

Source: https://github.com/LSFB-Team/lsfb-dataset (save_as_webdataset).
"""

from __future__ import annotations

import tarfile
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import AnnotationError, CorruptRecordError
from karsl.formats.base import class_list, register_format
from karsl.formats.folders import class_name, collect_errors, files_with_suffix, number_classes
from karsl.io.file_list import has_suffix, visible_files
from karsl.io.missing import STRICT, MissingPoints
from karsl.io.sources import FunctionSource
from karsl.schema import whole_number
from karsl.skeletons import Skeleton, describe_skeleton, get_skeleton, skeleton_names
from karsl.skeletons.mediapipe import POSE_33, VERTEX_NAMES, hand, mediapipe_skeleton
from karsl.webdataset.samples import TarMember, group_samples, is_compressed, list_tar, npy_header, read_array

_GROUPS = {"pose.npy": "pose", "face.npy": "face", "left_hand.npy": "lh", "right_hand.npy": "rh"}
_NAMES = {"pose": POSE_33, "face": VERTEX_NAMES, "lh": hand("left"), "rh": hand("right")}
_MAX_HEAD = 12  # members of which one is an array of a group


def _has_groups(path: Path) -> bool:
    """Return True if a tar, or the first one in a folder, begins with a sample of several arrays."""
    tars = visible_files(path) if path.is_dir() else [path]
    first = next((tar for tar in tars if tar.is_file() and has_suffix(tar.name, (".tar", ".tar.gz"))), None)
    names: list[str] = []
    if first is not None:
        with suppress(tarfile.TarError, OSError, EOFError), tarfile.open(first) as archive:
            names = [info.name for info in islice(archive, _MAX_HEAD)]
    return any(has_suffix(name, [f".{extension}" for extension in _GROUPS]) for name in names)


@register_format(
    "lsfb-tar",
    description="tars of LSFB and sldl: <id>.pose.npy, .face.npy, .left_hand.npy, .right_hand.npy and .class per clip",
    cannot_store="everything",
    detect=_has_groups,
    priority=58,
)
def open_lsfb(path: Path, *, skeleton: Skeleton | None = None, missing: MissingPoints = STRICT, **_: Any) -> FunctionSource:
    """Open an uncompressed tar, or a folder of them. The groups of the first sample name the skeleton.

    Raises:
        AnnotationError: If a tar is compressed, or no sample has an array.
    """
    root, tars, notes = files_with_suffix(path, ".tar", expected="files like 'train_000.tar'")
    records: list[dict] = []
    problems: list[str] = []
    groups: tuple[str, ...] = ()
    for tar in tars:
        if is_compressed(tar):
            raise AnnotationError(f"{tar}: clips of a compressed tar cannot be read one by one; unpack it with 'gzip -d'")
        with tar.open("rb") as stream:
            for key, sample in group_samples(list_tar(tar), tar).items():
                found = tuple(extension for extension in _GROUPS if extension in sample)
                groups = groups or found
                with collect_errors(problems):
                    records += [_record(stream, tar, key, sample, groups, found)] if found else []
    if not records:
        raise AnnotationError(f"{path}: no sample has an array named like {', '.join(_GROUPS)}; is the format right?")
    shapes = [records[0]["shapes"][_GROUPS[extension]] for extension in groups]
    points = _skeleton([(_GROUPS[g], _NAMES[_GROUPS[g]][: shape[1]]) for g, shape in zip(groups, shapes, strict=True)])
    classes = _number(records, path)
    for record in records:
        record.pop("shapes")
    metainfo = {"dataset_name": path.stem, "classes": classes, "skeleton": describe_skeleton(points)}
    reader = partial(_read_clip, root, points, missing)
    return FunctionSource(metainfo, points, records, reader, notes, problems=tuple(problems))


def _record(stream: Any, tar: Path, key: str, sample: dict[str, TarMember], groups: tuple, found: tuple) -> dict:
    where = f"{tar}: sample {key!r}"
    if found != groups:
        raise CorruptRecordError(f"{where} has {', '.join(found)}, the first sample {', '.join(groups)}; export it again")
    arrays, shapes = {}, {}
    for extension in found:
        member = sample[extension]
        stream.seek(member.start)
        head = stream.read(min(member.size, 1 << 16))
        shapes[_GROUPS[extension]] = npy_header(head, TarMember(member.name, 0, len(head)), where)[0]
        arrays[_GROUPS[extension]] = [member.start, member.size]
    lengths = {shape[0] for shape in shapes.values() if len(shape) == 3}
    if len(lengths) != 1 or any(len(shape) != 3 for shape in shapes.values()) or 0 in lengths:
        raise CorruptRecordError(f"{where}: arrays of shapes {sorted(shapes.values())}; expected (frames, points, 3) each")
    texts = {}
    for extension in ("class", "idx"):
        if extension in sample:
            stream.seek(sample[extension].start)
            texts[extension] = stream.read(sample[extension].size).decode("utf-8", "replace").strip()
    return {"clip_id": key, "num_frames": lengths.pop(), "file": tar.name, "arrays": arrays, "shapes": shapes, **texts}


def _skeleton(parts: list[tuple[str, tuple[str, ...]]]) -> Skeleton:
    made = mediapipe_skeleton("lsfb", *parts)
    return next((known for known in map(get_skeleton, skeleton_names()) if known.names == made.names), made)


def _number(records: list[dict], path: Path) -> tuple[str, ...]:
    """Set the label of each record, by `.idx` if all samples have it, else by `.class`, and return the classes."""
    numbers = [whole_number(record.pop("idx", None)) for record in records]
    words = [record.pop("class", None) for record in records]
    if all(number is not None and number >= 0 for number in numbers):
        for record, number in zip(records, numbers, strict=True):
            record["label"] = number
        names = {
            number: class_name(word) for number, word in zip(numbers, words, strict=True) if number is not None and word
        }
        return class_list([record["label"] for record in records], names)
    if any(not word for word in words):
        clip = next(record["clip_id"] for record, word in zip(records, words, strict=True) if not word)
        raise AnnotationError(f"{path}: sample {clip!r} has neither a number in .idx nor a word in .class; add one")
    label = number_classes(class_name(word) for word in words)
    for record, word in zip(records, words, strict=True):
        record["label"] = label[class_name(word)]
    return tuple(label)


def _read_clip(root: Path, skeleton: Skeleton, missing: MissingPoints, record: dict) -> np.ndarray:
    """Return a canonical clip; points that are NaN or at 0 are missing, the others have score 1."""
    tar, where = root / record["file"], f"{root / record['file']}: clip {record['clip_id']!r}"
    clip = np.zeros((record["num_frames"], skeleton.num_keypoints, 4), np.float32)
    with tar.open("rb") as stream:
        for group, part in skeleton.groups.items():
            start, size = record["arrays"][group]
            stream.seek(start)
            array = read_array(stream.read(size), "npy", where)
            if array.shape[:2] != (len(clip), part.stop - part.start) or array.ndim != 3 or array.shape[2] not in (2, 3):
                raise CorruptRecordError(
                    f"{where}: {group} of shape {array.shape}; expected {part.stop - part.start} points"
                )
            clip[:, part, : array.shape[2]] = array
    clip[np.isnan(clip[..., :2]).all(-1)] = 0
    clip = missing.clear(clip)
    clip[..., 3] = (clip[..., :3] != 0).any(-1)
    if not np.isfinite(clip).all():
        raise CorruptRecordError(f"{where} has a coordinate that is not finite; export it again, or use --nonfinite missing")
    return clip
