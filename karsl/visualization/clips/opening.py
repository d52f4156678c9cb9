"""Clips to look at without a config: a data root, a pack, an annotation file, or a file or folder of any other form."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from karsl.datasets import KArSLDataset, KeypointDataset
from karsl.errors import AnnotationError, ConfigError, CorruptRecordError, DataErrors, DatasetNotFoundError, KarslError
from karsl.skeletons import Skeleton, get_skeleton, skeleton_names
from karsl.storage import list_members, read_member
from karsl.storage.clip_source import Clips
from karsl.storage.convert.forms import guess_form
from karsl.storage.convert.open import open_source
from karsl.storage.convert.plain_pickle import Trusted
from karsl.storage.packed import ANNOTATIONS
from karsl.storage.record import canonical_clip
from karsl.visualization.clips.views import SourceView

_LOAD = [{"type": "LoadKeypoints"}]


def open_clips(
    path: str | Path,
    *,
    ann_file: str = "",
    form: str | None = None,
    skeleton: str | Mapping | Skeleton | None = None,
    trusted: Trusted = (),
) -> Any:
    """Open a folder or a file as a dataset that can be looked at.

    Args:
        path: Folder or file.
        ann_file: Annotation file of a folder, relative to it.
        form: One of `karsl.storage.convert.FORMS`; None guesses.
        skeleton: What the keypoints are, where the files do not say.
        trusted: Pickles that may be read, see `open_source`.

    Raises:
        DatasetNotFoundError: Nothing lies at `path`.
        KarslError: It holds no clips that can be read.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "hello.npy"
        >>> np.save(file, np.ones((30, 184, 4), np.float32))
        >>> clips = open_clips(file)
        >>> len(clips), clips.stages(0)[-1][1]["skeleton"].name
        (1, 'karsl_184')
    """
    path = Path(path)
    if not path.exists():
        raise DatasetNotFoundError(f"no config, folder or file '{path}' to browse")
    open_form = partial(open_source, path, skeleton=skeleton, trusted=trusted)
    if form:
        return SourceView(open_form(form=form))
    if path.is_dir():
        found = "annotation" if ann_file else guess_form(path).name  # so that who looks sees what is packed
        if found in ("pack", "annotation"):
            return _annotated(path, path / (ann_file or ANNOTATIONS), skeleton)
        if found == "karsl":
            return KArSLDataset(data_root=str(path), pipeline=_LOAD, skeleton=skeleton or "karsl_184", on_error="skip")
        return SourceView(open_form(form=found))
    if path.suffix.lower() == ".json" and _is_annotation(path):
        return _annotated(path.parent, path, skeleton)
    if path.suffix.lower() not in (".npz", ".npy"):
        return SourceView(open_form())
    try:
        return SourceView(arrays_of(path, skeleton))
    except KarslError as error:  # not clips as they are; a form whose arrays have columns may still be in it
        try:
            return SourceView(open_form())
        except KarslError:
            raise error from None


def arrays_of(path: Path, skeleton: str | Mapping | Skeleton | None = None) -> Clips:
    """The arrays of an `.npz`, or the one of an `.npy`, each (T, V, 3 or 4), as clips.

    Raises:
        CorruptRecordError: An array is no clip.
        ConfigError: The skeleton cannot be told by the number of keypoints.
    """
    shapes = _members(path) if path.suffix.lower() == ".npz" else {path.stem: _shape(path)}
    known = _skeleton_of({shape[1] for shape in shapes.values()}, skeleton, path)
    records = [{"clip_id": key, "num_frames": shape[0]} for key, shape in shapes.items()]
    metainfo = {"dataset_name": path.stem, "skeleton": known.name}
    return Clips(metainfo, known, records, partial(_read, path))


def _annotated(root: Path, ann_file: Path, skeleton: Any) -> Any:
    clips = KeypointDataset(str(ann_file.absolute()), data_root=str(root), pipeline=_LOAD, skeleton=skeleton)
    if clips.skeleton is None:
        raise AnnotationError(f"{ann_file}: nothing says what the points are; give --source-skeleton NAME (skeleton=...)")
    return clips


def _is_annotation(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(1 << 16)
    return b'"metainfo"' in head or b'"data_list"' in head


def _members(path: Path) -> dict[str, tuple[int, ...]]:
    members, problems = list_members(path)
    if problems:
        raise DataErrors(str(path), problems)
    return {str(member.key): _checked(member.shape, f"{path}: {member.key}") for member in members}


def _shape(path: Path) -> tuple[int, ...]:
    try:
        return _checked(np.load(path, mmap_mode="r", allow_pickle=False).shape, str(path))
    except (ValueError, OSError, EOFError) as error:
        raise CorruptRecordError(f"{path}: no clip that can be read ({error})") from error


def _checked(shape: tuple[int, ...], where: str) -> tuple[int, ...]:
    if len(shape) != 3 or not shape[0] or shape[2] not in (3, 4):
        raise CorruptRecordError(f"{where}: shape {shape} is no clip; (frames, keypoints, 3 or 4) is expected")
    return shape


def _skeleton_of(counts: set[int], given: Any, path: Path) -> Skeleton:
    names = [given] if given is not None else skeleton_names()
    found = [s for s in map(get_skeleton, names) if counts == {s.num_keypoints}]
    if len(found) != 1:
        have = "; ".join(f"{s.name} has {s.num_keypoints}" for s in map(get_skeleton, names))
        points = ", ".join(map(str, sorted(counts)))
        raise ConfigError(f"{path}: arrays of {points} keypoints, and {have}; say --source-skeleton NAME (skeleton=...)")
    return found[0]


def _read(path: Path, record: dict) -> np.ndarray:
    is_npz = path.suffix.lower() == ".npz"
    raw = read_member(str(path), record["clip_id"]) if is_npz else np.load(path, allow_pickle=False)
    return canonical_clip(raw, where=f"{path}: {record['clip_id']}")
