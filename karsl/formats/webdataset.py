"""Local WebDataset tars: one `.npy` and one `.json` per clip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import AnnotationError, ConfigError
from karsl.formats.base import ConversionJob, class_list, file_or_folder_with, register_format, resolve_skeleton
from karsl.formats.folders import files_with_suffix
from karsl.io.missing import STRICT, MissingPoints
from karsl.io.sources import IndexedSource, public_record
from karsl.skeletons import Skeleton, describe_skeleton
from karsl.webdataset.index import SUFFIX, TarIndex, index_tar
from karsl.webdataset.samples import to_record
from karsl.webdataset.write import TARS, read_tars, write_tars


def write_tar(out: Path, job: ConversionJob) -> None:
    """Write `clips-000000.tar` and so on, an index next to each, and `tars.json`."""
    clips = job.clips()
    metainfo = {**job.metainfo, "skeleton": describe_skeleton(job.skeleton)}
    records = [public_record(record) for record in job.source.records]

    def read(record: dict) -> np.ndarray:
        return next(clips)[1]

    write_tars(out, metainfo, records, read, skeleton=job.skeleton, dtype=job.dtype.name)
    next(clips, None)  # raises the problems that the iteration collected


@register_format(
    "tar",
    description="WebDataset: clips-000000.tar with one .npy and one .json per clip, and an index",
    cannot_store="nothing",
    detect=file_or_folder_with(".tar"),
    priority=60,
    writer=write_tar,
    supports_half=True,
)
def open_tars(path: Path, *, skeleton: Skeleton | None = None, missing: MissingPoints = STRICT, **_: Any) -> IndexedSource:
    """Open an uncompressed tar, or a folder of them, whose clips are `.npy` arrays of four numbers per point.

    Raises:
        DatasetNotFoundError: If the folder has no tar.
        ConfigError: If clips cannot be memory-mapped: compressed, in `.npz`, or of another shape.
        AnnotationError: If neither `tars.json` nor `skeleton` names the skeleton, or a clip has no integer label.
    """
    expected = "files like 'clips-000000.tar'"
    root, tars, notes = files_with_suffix(path, ".tar", expected=expected, also=(TARS, f".tar{SUFFIX}"))
    stored = read_tars(root / TARS).get("metainfo", {})
    points = resolve_skeleton(stored.get("skeleton"), skeleton, where=path)
    signs = {s: i for i, s in enumerate(stored.get("signs", ()))}
    records = [record for tar in tars for record in _records(tar, points, signs, missing)]
    unlabelled = next((r["clip_id"] for r in records if "label" not in r), None)
    if unlabelled is not None:
        raise AnnotationError(f"{path}: clip {unlabelled!r} has no label; add one to its .json or .cls")
    metainfo = {"dataset_name": path.stem, "classes": class_list(r["label"] for r in records), **stored}
    metainfo["skeleton"] = describe_skeleton(points)
    return IndexedSource(metainfo, points, records, root.resolve(), notes, missing=missing)


def _records(tar: Path, points: Skeleton, signs: dict[int, int], missing: MissingPoints) -> Iterator[dict]:
    index_file = tar.with_name(tar.name + SUFFIX)
    index = TarIndex.read(index_file) if index_file.is_file() else None
    if index is None or index.size != tar.stat().st_size:
        index = index_tar(tar, nonfinite=missing.nonfinite)
    if not index.mapped:
        raise ConfigError(f"{tar}: clips are not float (frames, points, 4) with zeros for missing points; use TarDataset")
    if index.clips and index.num_keypoints != points.num_keypoints:
        raise AnnotationError(f"{tar}: clips of {index.num_keypoints} points, {points.name!r} has {points.num_keypoints}")
    for clip in index.clips:
        location = {"keypoint_path": tar.name, "byte_start": clip.start, "dtype": clip.dtype, "xxh3": clip.xxh3}
        yield {**to_record(clip.key, clip.metadata, signs, str(tar)), "num_frames": clip.frames, **location}
