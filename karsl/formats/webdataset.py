"""WebDataset tars on this machine as a source, and written: an `.npy` and a `.json` a clip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import AnnotationError, ConfigError, DatasetNotFoundError
from karsl.skeletons import Skeleton, describe_skeleton
from karsl.storage.clip_source import public
from karsl.storage.convert.job import Job
from karsl.storage.convert.located import LocatedClips
from karsl.storage.convert.said import numbered_classes, skeleton_of
from karsl.storage.tar.facts import record_of
from karsl.storage.tar.index import SUFFIX, TarIndex, index_tar
from karsl.storage.tar.write import TARS, read_tars, write_tars


def open_tars(path: Path, *, skeleton: Skeleton | None = None, **_: Any) -> LocatedClips:
    """Open an uncompressed tar, or a folder of them; tars of others with a clip of four numbers a point in an `.npy`.

    Raises:
        DatasetNotFoundError: No tar in the folder.
        ConfigError: Clips that cannot be mapped: compressed, in `.npz`, or of other numbers.
        AnnotationError: Neither `tars.json` nor `skeleton` says what the points are, or a clip has no label that is
            a whole number.
    """
    root, tars = (path, sorted(path.glob("*.tar"))) if path.is_dir() else (path.parent, [path])
    tars = [tar for tar in tars if not tar.name.startswith(".")]  # what a killed writer left
    if not tars:
        raise DatasetNotFoundError(f"no .tar in {path}")
    told = read_tars(root / TARS).get("metainfo", {})
    points = skeleton_of(told.get("skeleton"), skeleton, where=path)
    signs = {s: i for i, s in enumerate(told.get("signs", ()))}
    records = [record for tar in tars for record in _records(tar, points, signs)]
    absent = next((r["clip_id"] for r in records if "label" not in r), None)
    if absent is not None:
        raise AnnotationError(f"{path}: clip {absent!r} has no label; its .json or .cls is to say it")
    metainfo = {"dataset_name": path.stem, "classes": numbered_classes(r["label"] for r in records), **told}
    return LocatedClips({**metainfo, "skeleton": describe_skeleton(points)}, points, records, root.resolve())


def _records(tar: Path, points: Skeleton, signs: dict[int, int]) -> Iterator[dict]:
    beside = tar.with_name(tar.name + SUFFIX)
    index = TarIndex.read(beside) if beside.is_file() else None
    if index is None or index.size != tar.stat().st_size:
        index = index_tar(tar)
    if not index.mapped:
        raise ConfigError(
            f"{tar}: its clips are not (frames, points, 4) float arrays with zeros where missing; use TarDataset"
        )
    if index.clips and index.num_keypoints != points.num_keypoints:
        raise AnnotationError(f"{tar}: clips of {index.num_keypoints} points, {points.name!r} has {points.num_keypoints}")
    for clip in index.clips:
        where = {"keypoint_path": tar.name, "byte_start": clip.start, "dtype": clip.dtype, "xxh3": clip.xxh3}
        yield {**record_of(clip.key, clip.facts, signs, str(tar)), "num_frames": clip.frames, **where}


def write_tar(out: Path, job: Job) -> None:
    """Write `clips-000000.tar` and so on, an index beside each, and `tars.json`."""
    clips = job.clips()
    metainfo = {**job.metainfo, "skeleton": describe_skeleton(job.skeleton)}
    records = [public(record) for record in job.source.records]

    def read(record: dict) -> np.ndarray:
        return next(clips)[1]

    write_tars(out, metainfo, records, read, skeleton=job.skeleton, dtype=job.dtype.name)
    next(clips, None)  # lets the iteration raise what it found at its end
