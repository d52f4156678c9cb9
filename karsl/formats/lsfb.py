"""LSFB's folder of isolated signs, and tars of LSFB and of sldl: an array per clip and group of MediaPipe's landmarks.

The folder has `instances.csv` with the columns `id`, `sign` and `signer`, `poses/<group>/<id>.npy` (or `poses_raw`, before
interpolation and smoothing), and optionally `metadata/sign_to_index.csv` and `metadata/splits/<split>.json`.

A sample of a tar has `<id>.pose.npy`, `<id>.face.npy`, `<id>.left_hand.npy` and `<id>.right_hand.npy`, of which some can be
absent in all samples, and `<id>.class` with the word or `<id>.idx` with its number.

Source: https://github.com/LSFB-Team/lsfb-dataset (tests/fixtures, save_as_webdataset).
"""

from __future__ import annotations

import csv
import tarfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import AnnotationError, CorruptRecordError, DataErrors, DatasetNotFoundError
from karsl.formats.base import class_list, register_format
from karsl.formats.folders import class_name, collect_errors, files_with_suffix, number_classes
from karsl.io.annotations import join_folder
from karsl.io.file_index import Progress
from karsl.io.file_list import has_suffix, visible_files
from karsl.io.missing import STRICT, MissingPoints
from karsl.io.sources import FunctionSource
from karsl.schema import convert, read_json, whole_number
from karsl.skeletons import Skeleton, describe_skeleton, get_skeleton, skeleton_names
from karsl.skeletons.mediapipe import POSE_33, VERTEX_NAMES, hand, mediapipe_skeleton
from karsl.webdataset.samples import TarMember, group_samples, is_compressed, list_tar, npy_header, read_array

_GROUPS = {"pose.npy": "pose", "face.npy": "face", "left_hand.npy": "lh", "right_hand.npy": "rh"}
_NAMES = {"pose": POSE_33, "face": VERTEX_NAMES, "lh": hand("left"), "rh": hand("right")}
_FOLDERS = {name.removesuffix(".npy"): group for name, group in _GROUPS.items()}
TABLE = "instances.csv"
_HEAD_BYTES = 1 << 12
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
    """Return a canonical clip of a tar."""
    tar, where = root / record["file"], f"{root / record['file']}: clip {record['clip_id']!r}"
    with tar.open("rb") as stream:

        def read(group: str) -> np.ndarray:
            start, size = record["arrays"][group]
            stream.seek(start)
            return read_array(stream.read(size), "npy", where)

        return _join_groups(read, skeleton, record["num_frames"], missing, where)


def _join_groups(
    read: Callable[[str], np.ndarray], skeleton: Skeleton, num_frames: int, missing: MissingPoints, where: str
) -> np.ndarray:
    """Return a canonical clip from the array of each group; points that are NaN or at 0 are missing, others have score 1."""
    clip = np.zeros((num_frames, skeleton.num_keypoints, 4), np.float32)
    for group, part in skeleton.groups.items():
        array = read(group)
        if array.shape[:2] != (len(clip), part.stop - part.start) or array.ndim != 3 or array.shape[2] not in (2, 3):
            raise CorruptRecordError(f"{where}: {group} of shape {array.shape}; expected {part.stop - part.start} points")
        clip[:, part, : array.shape[2]] = array
    clip[np.isnan(clip[..., :2]).all(-1)] = 0
    clip = missing.clear(clip)
    clip[..., 3] = (clip[..., :3] != 0).any(-1)
    if not np.isfinite(clip).all():
        raise CorruptRecordError(f"{where} has a coordinate that is not finite; export it again, or use --nonfinite missing")
    return clip


def _poses_folder(path: Path) -> Path | None:
    """Return the folder of the arrays of LSFB's folder, None if the path is another one."""
    folders = (path / name for name in ("poses", "poses_raw"))
    return next((folder for folder in folders if folder.is_dir()), None) if (path / TABLE).is_file() else None


@register_format(
    "lsfb",
    description="LSFB's folder of isolated signs: instances.csv, poses/<group>/<id>.npy, metadata/splits/<split>.json",
    cannot_store="everything",
    detect=lambda path: _poses_folder(path) is not None,
    priority=57,
)
def open_lsfb_folder(
    path: Path, *, progress: Progress | None = None, missing: MissingPoints = STRICT, **_: Any
) -> FunctionSource:
    """Open LSFB's folder. The groups in `poses` name the skeleton; without `poses`, `poses_raw` is read.

    Raises:
        AnnotationError: If the table lacks a column, or a sign has no number.
        DatasetNotFoundError: If there are no arrays.
    """
    poses = _poses_folder(path)
    groups = [name for name in _FOLDERS if poses is not None and (poses / name).is_dir()]
    if poses is None or not groups:
        raise DatasetNotFoundError(f"{path}: no {TABLE} with arrays such as poses/pose/<id>.npy next to it")
    records: list[dict] = []
    problems: list[str] = []
    rows, split_of = _read_table(path), _read_splits(path)
    for row in progress(rows, len(rows)) if progress else rows:
        with collect_errors(problems):
            shapes = {name: _shape(Path(join_folder(poses / name, f"{row['id']}.npy"))) for name in groups}
            if len({shape[0] for shape in shapes.values()}) != 1 or any(len(shape) != 3 for shape in shapes.values()):
                raise CorruptRecordError(f"clip {row['id']!r}: arrays of shapes {sorted(shapes.values())}; export it again")
            record = {"clip_id": row["id"], "signer": row["signer"], "class": row["sign"], "idx": row.get("class")}
            split = {"split": split_of[row["id"]]} if row["id"] in split_of else {}
            records.append({**record, **split, "num_frames": shapes[groups[0]][0], "shapes": shapes})
    if not records:
        raise DataErrors(str(path), problems or [f"{TABLE} has no row"])
    points = _skeleton([(_FOLDERS[g], _NAMES[_FOLDERS[g]][: shape[1]]) for g, shape in records[0]["shapes"].items()])
    for record in records:
        record.pop("shapes")
    metainfo = {"dataset_name": "lsfb-isol", "classes": _number(records, path), "skeleton": describe_skeleton(points)}
    reader = partial(_read_folder_clip, poses, points, missing)
    return FunctionSource(metainfo, points, records, reader, problems=tuple(problems))


def _read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of `instances.csv`, with the number of each sign as `class` if there are numbers."""
    rows = _read_csv(path / TABLE, ("id", "sign", "signer"))
    numbers_file = path / "metadata" / "sign_to_index.csv"
    if not numbers_file.is_file():
        return rows
    numbers = {row["sign"]: row["class"] for row in _read_csv(numbers_file, ("sign", "class"))}
    if unknown := sorted({row["sign"] for row in rows} - numbers.keys()):
        raise AnnotationError(f"{numbers_file}: no number for sign {unknown[0]!r} (and {len(unknown) - 1} more); add it")
    return [{**row, "class": numbers[row["sign"]]} for row in rows]


def _read_csv(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream, restval=""))
    except (UnicodeDecodeError, csv.Error) as error:
        raise AnnotationError(f"{path}: not a readable CSV file ({error}); download it again") from error
    absent = [name for name in columns if rows and name not in rows[0]]
    if absent:
        raise AnnotationError(f"{path}: no column {absent}; expected {', '.join(columns)}")
    return rows


def _read_splits(path: Path) -> dict[str, str]:
    """Return the shipped part of each clip; files of folds and samples are not read."""
    remedy, parts = "download it again", {}
    for name in ("train", "val", "test"):
        file = path / "metadata" / "splits" / f"{name}.json"
        if file.is_file():
            content = read_json(file, error=AnnotationError, remedy=remedy)
            clips = convert(content, list[str], where=file, error=AnnotationError, remedy=remedy)
            parts.update(dict.fromkeys(clips, name))
    return parts


def _shape(path: Path) -> tuple[int, ...]:
    if not path.is_file():
        raise CorruptRecordError(f"{path}: no such file; download it again")
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    return npy_header(head, TarMember(path.name, 0, len(head)), str(path))[0]


def _read_folder_clip(poses: Path, skeleton: Skeleton, missing: MissingPoints, record: dict) -> np.ndarray:
    """Return a canonical clip of LSFB's folder."""
    folder_of = {group: name for name, group in _FOLDERS.items()}

    def read(group: str) -> np.ndarray:
        path = Path(join_folder(poses / folder_of[group], f"{record['clip_id']}.npy"))
        return read_array(path.read_bytes(), "npy", str(path))

    return _join_groups(read, skeleton, record["num_frames"], missing, f"{poses}: clip {record['clip_id']!r}")
