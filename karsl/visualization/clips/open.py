"""Folders and files as datasets, without a config: a data root, a pack, an annotation file, or any supported format."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from karsl.datasets import KArSLDataset, KeypointDataset
from karsl.errors import AnnotationError, ConfigError, CorruptRecordError, DataErrors, DatasetNotFoundError, KarslError
from karsl.formats.base import detect_format
from karsl.formats.convert import open_clips
from karsl.formats.safe_pickle import Trusted
from karsl.io import list_members, read_member
from karsl.io.clip import canonical_clip
from karsl.io.missing import STRICT, MissingPoints
from karsl.io.pack_reader import ANNOTATIONS
from karsl.io.sources import FunctionSource
from karsl.skeletons import Skeleton, get_skeleton, skeleton_names
from karsl.visualization.clips.sources import SourceClips, guess_skeleton

_LOAD = [{"type": "LoadKeypoints"}]


def open_dataset(
    path: str | Path,
    *,
    ann_file: str = "",
    format: str | None = None,
    skeleton: str | Mapping | Skeleton | None = None,
    trusted: Trusted = (),
    missing: MissingPoints = STRICT,
    person: int | None = None,
    **arrays: Any,
) -> Any:
    """Open a folder or file as a dataset that can be browsed.

    Args:
        path: Folder or file.
        ann_file: Annotation file of a folder, relative to it.
        format: One of `karsl.formats.FORMATS`. None detects it.
        skeleton: Skeleton of the keypoints, if the files do not name it.
        trusted: Pickles that may be read, as in `karsl.formats.open_clips`.
        missing: Rules that say which points are missing.
        person: Position of the person to show of clips with several, as in `karsl.formats.open_clips`.
        arrays: `layout`, `pattern` and `labels` of array files, as in `karsl.formats.open_clips`.

    Raises:
        DatasetNotFoundError: If `path` does not exist.
        KarslError: If it has no readable clips.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "hello.npy"
        >>> np.save(file, np.ones((30, 184, 4), np.float32))
        >>> clips = open_dataset(file)
        >>> len(clips), clips.stages(0)[-1][1]["skeleton"].name
        (1, 'karsl_184')
    """
    path = Path(path)
    if not path.exists():
        raise DatasetNotFoundError(f"no config, folder or file '{path}' to browse")
    clips = path / ann_file if path.is_dir() else path
    options = {"skeleton": skeleton, "trusted": trusted, "missing": missing, "person": person, "skip_bad": True, **arrays}
    open_format = partial(open_clips, clips, **options)
    if format or any(value is not None for value in (person, *arrays.values())):
        return SourceClips(open_format(format=format))
    if path.is_file() and path.suffix.lower() in (".npz", ".npy"):
        try:
            return SourceClips(read_arrays(path, skeleton, missing))
        except KarslError as error:  # not (T, V, C) arrays; a format with named columns may still match
            try:
                return SourceClips(open_format())
            except KarslError:
                raise error from None
    is_folder = path.is_dir()
    is_annotation = bool(ann_file) if is_folder else path.suffix.lower() in (".yaml", ".yml")
    detected = "annotation" if is_annotation else detect_format(path).name  # as `karsl pack` does
    if missing != STRICT:
        return SourceClips(open_format(format=detected))
    if detected in ("pack", "annotation"):
        root, file = (path, path / (ann_file or ANNOTATIONS)) if is_folder else (path.parent, path)
        return _open_annotated(root, file, skeleton)
    if detected == "karsl":
        return KArSLDataset(data_root=str(path), pipeline=_LOAD, skeleton=skeleton or "karsl_184", on_error="skip")
    return SourceClips(open_format(format=detected))


def read_arrays(
    path: Path, skeleton: str | Mapping | Skeleton | None = None, missing: MissingPoints = STRICT
) -> FunctionSource:
    """Open the arrays of an `.npz`, or the one of an `.npy`, each (T, V, 3 or 4), as clips.

    Raises:
        CorruptRecordError: If an array is not a clip.
        ConfigError: If the number of keypoints does not identify the skeleton.
    """
    shapes = _member_shapes(path) if path.suffix.lower() == ".npz" else {path.stem: _array_shape(path)}
    counts = {shape[1] for shape in shapes.values()}
    found = guess_skeleton(counts, skeleton)
    if found is None:
        candidates = map(get_skeleton, skeleton_names() if skeleton is None else [skeleton])
        known = "; ".join(f"{candidate.name} has {candidate.num_keypoints}" for candidate in candidates)
        points = ", ".join(map(str, sorted(counts)))
        raise ConfigError(f"{path}: arrays of {points} keypoints, and {known}; use --source-skeleton NAME (skeleton=...)")
    records = [{"clip_id": key, "num_frames": shape[0]} for key, shape in shapes.items()]
    metainfo = {"dataset_name": path.stem, "skeleton": found.name}
    return FunctionSource(metainfo, found, records, partial(_read_clip, path, missing))


def _open_annotated(root: Path, ann_file: Path, skeleton: Any) -> KeypointDataset:
    clips = KeypointDataset(str(ann_file.absolute()), data_root=str(root), pipeline=_LOAD, skeleton=skeleton)
    if clips.skeleton is None:
        raise AnnotationError(f"{ann_file}: the metainfo has no skeleton; use --source-skeleton NAME (skeleton=...)")
    return clips


def _member_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    members, problems = list_members(path)
    if problems:
        raise DataErrors(str(path), problems)
    return {str(member.key): _check_shape(member.shape, f"{path}: {member.key}") for member in members}


def _array_shape(path: Path) -> tuple[int, ...]:
    try:
        return _check_shape(np.load(path, mmap_mode="r", allow_pickle=False).shape, str(path))
    except (ValueError, OSError, EOFError) as error:
        raise CorruptRecordError(f"{path}: not a readable clip ({error})") from error


def _check_shape(shape: tuple[int, ...], where: str) -> tuple[int, ...]:
    if len(shape) != 3 or not shape[0] or shape[2] not in (3, 4):
        raise CorruptRecordError(f"{where}: shape {shape} is not a clip; expected (frames, keypoints, 3 or 4)")
    return shape


def _read_clip(path: Path, missing: MissingPoints, record: dict) -> np.ndarray:
    is_npz = path.suffix.lower() == ".npz"
    raw = read_member(str(path), record["clip_id"]) if is_npz else np.load(path, allow_pickle=False)
    return canonical_clip(missing.clear(raw), where=f"{path}: {record['clip_id']}")
