"""What `karsl pack` reads: a data root, an annotation file, another pack, or any form that converters open."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from xxhash import xxh3_64

from karsl.errors import AnnotationError, DataProblems, DatasetNotFoundError
from karsl.skeletons import Skeleton, describe_skeleton, get_skeleton
from karsl.storage.annotation import class_metainfo
from karsl.storage.convert.plain_pickle import Trusted
from karsl.storage.file_index import Progress
from karsl.storage.index import scan_npz_folders
from karsl.storage.labels import find_label_sheet, read_label_sheet
from karsl.storage.pack.merge import read_annotations
from karsl.storage.pack.run import Source
from karsl.storage.packed import ANNOTATIONS
from karsl.storage.reader import ClipReader

_LOCATOR = frozenset(
    ("keypoint_path", "keypoint_key", "member", "frame_start", "byte_start", "dtype", "xxh3", "pack", "sample_idx")
)


@dataclass(frozen=True)
class RecordSource:
    """Clips of records whose paths are relative to a folder; picklable, opens files in the process that reads.

    Args:
        metainfo, skeleton, records: See `karsl.storage.convert.ClipSource`.
        root: Folder of the paths.
    """

    metainfo: dict
    skeleton: Skeleton
    records: list[dict]
    root: Path
    notes: tuple[str, ...] = ()
    _reader: ClipReader = field(default_factory=lambda: ClipReader(cache_bytes=0), repr=False, compare=False)

    def read(self, record: dict) -> np.ndarray:
        """The canonical clip of a record; float16 where a pack holds it so."""
        path = os.path.join(self.root, record["keypoint_path"])
        return self._reader.read({**record, "keypoint_path": path}, self.skeleton.num_keypoints)

    def public(self, record: dict) -> dict:
        """Everything that a record says but where its clip lies here."""
        return {key: value for key, value in record.items() if key not in _LOCATOR}

    @cached_property
    def stamp(self) -> str:
        """Stands for the state of the files: names, sizes and times."""
        digest = xxh3_64()
        for name in sorted({r["keypoint_path"] for r in self.records}):
            try:
                facts = os.stat(os.path.join(self.root, name))
            except OSError:
                continue  # reading it will say so
            digest.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def open_clips(
    path: str | Path,
    *,
    form: str | None = None,
    skeleton: str | Mapping | Skeleton | None = None,
    label_sheet: Path | None = None,
    trusted: Trusted = (),
    progress: Progress | None = None,
) -> Source:
    """Open what is to be packed.

    Args:
        path: A data root, an annotation file or a folder with one (a pack is such a folder), or another form.
        form: See `karsl.storage.convert.open_source`; None guesses.
        skeleton: Of the clips; None takes what the source says, and for a data root karsl_184.
        label_sheet: Of a data root; None looks for one there.
        trusted: Pickles that may be read, see `karsl.storage.convert.open_source`.
        progress: Wraps the files of a data root, for a bar.

    Raises:
        DatasetNotFoundError: Nothing lies there.
        ConfigError: A pickle that is not named in `trusted`.
        DataProblems: A data root has files that cannot be used.
        KarslError: Anything else that is wrong with it.
    """
    path = Path(path)
    if not path.exists():
        raise DatasetNotFoundError(f"no file or folder {str(path)!r} to pack")
    if form is None and path.is_dir() and not (path / ANNOTATIONS).is_file() and _is_data_root(path):
        return _data_root(path, skeleton or "karsl_184", label_sheet, progress)
    if form is None and (path.name.endswith(".json") or (path / ANNOTATIONS).is_file()):
        return _annotated(path, skeleton)
    from karsl.storage.convert import open_source  # heavy: knows every form

    return open_source(path, form=form, skeleton=skeleton, trusted=trusted)


def _is_data_root(path: Path) -> bool:
    return any(p.is_dir() and p.name[:2].isdigit() and p.name[2:3] == "-" for p in path.iterdir())


def _data_root(path: Path, skeleton: Any, label_sheet: Path | None, progress: Progress | None) -> RecordSource:
    points, sheet_path = get_skeleton(skeleton), label_sheet or find_label_sheet(path)
    sheet = read_label_sheet(sheet_path) if sheet_path else None
    scan = scan_npz_folders(path, skeleton=points, sheet=sheet, progress=progress)
    if scan.problems:
        raise DataProblems(str(path), scan.problems)
    metainfo = {"dataset_name": "karsl", "skeleton": describe_skeleton(points), **class_metainfo(scan.signs, sheet)}
    return RecordSource(metainfo, points, scan.records, path.resolve())


def _annotated(path: Path, skeleton: Any) -> RecordSource:
    folder = path if path.is_dir() else path.parent
    metainfo, records = read_annotations(folder, path.name if path.is_file() else ANNOTATIONS)
    named = skeleton or metainfo.get("skeleton")
    if named is None:
        raise AnnotationError(f"{path}: metainfo names no skeleton; say what the keypoints are with --skeleton")
    problems = [
        f"record {n} has no {key!r}; add it"
        for n, record in enumerate(records)
        for key in ("clip_id", "keypoint_path", "num_frames")
        if key not in record
    ]
    if problems:
        raise DataProblems(str(path), problems)
    return RecordSource(metainfo, get_skeleton(named), records, folder.resolve())
