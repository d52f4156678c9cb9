"""Local WebDataset tars: one `.npy` and one `.json` per clip."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import AnnotationError, CorruptRecordError
from karsl.formats.base import ConversionJob, class_list, file_or_folder_with, register_format, resolve_skeleton
from karsl.formats.folders import files_with_suffix
from karsl.io.clip import canonical_clip, shape_problem
from karsl.io.missing import STRICT, MissingPoints
from karsl.io.sources import ClipSource, FunctionSource, IndexedSource, public_record
from karsl.skeletons import Skeleton, describe_skeleton
from karsl.webdataset.index import SUFFIX, TarIndex, index_tar
from karsl.webdataset.samples import clip_extension, group_samples, list_tar, read_array, to_record
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
def open_tars(path: Path, *, skeleton: Skeleton | None = None, missing: MissingPoints = STRICT, **_: Any) -> ClipSource:
    """Open an uncompressed tar, or a folder of them. Clips are mapped if all are canonical, and decoded otherwise.

    Raises:
        DatasetNotFoundError: If the folder has no tar.
        CorruptRecordError: If a tar or a clip in it is damaged.
        AnnotationError: If neither `tars.json` nor `skeleton` names the skeleton, or a clip has no integer label.
    """
    expected = "files like 'clips-000000.tar'"
    root, tars, notes = files_with_suffix(path, ".tar", expected=expected, also=(TARS, f".tar{SUFFIX}"))
    stored = read_tars(root / TARS).get("metainfo", {})
    points = resolve_skeleton(stored.get("skeleton"), skeleton, where=path)
    signs = {s: i for i, s in enumerate(stored.get("signs", ()))}
    indexes = {tar: _read_index(tar, points, missing) for tar in tars}
    is_mapped = all(index.mapped for index in indexes.values())
    locate = _locate_mapped if is_mapped else _locate_members
    records = [
        {**to_record(clip.key, clip.metadata, signs, str(tar)), **location}
        for tar, index in indexes.items()
        for clip, location in zip(index.clips, locate(tar, index), strict=True)
    ]
    unlabelled = next((r["clip_id"] for r in records if "label" not in r), None)
    if unlabelled is not None:
        raise AnnotationError(f"{path}: clip {unlabelled!r} has no label; add one to its .json or .cls")
    metainfo = {"dataset_name": path.stem, "classes": class_list(r["label"] for r in records), **stored}
    metainfo["skeleton"] = describe_skeleton(points)
    if is_mapped:
        return IndexedSource(metainfo, points, records, root.resolve(), notes, missing=missing)
    return FunctionSource(metainfo, points, records, partial(_read_clip, root, points.num_keypoints, missing), notes)


def _read_index(tar: Path, points: Skeleton, missing: MissingPoints) -> TarIndex:
    index_file = tar.with_name(tar.name + SUFFIX)
    index = TarIndex.read(index_file) if index_file.is_file() else None
    if index is None or index.size != tar.stat().st_size:
        index = index_tar(tar, nonfinite=missing.nonfinite)
    if index.num_keypoints not in (0, points.num_keypoints):
        raise AnnotationError(f"{tar}: clips of {index.num_keypoints} points, {points.name!r} has {points.num_keypoints}")
    return index


def _locate_mapped(tar: Path, index: TarIndex) -> Iterator[dict]:
    for clip in index.clips:
        location = {"keypoint_path": tar.name, "byte_start": clip.start, "dtype": clip.dtype, "xxh3": clip.xxh3}
        yield {"num_frames": clip.frames, **location}


def _locate_members(tar: Path, index: TarIndex) -> Iterator[dict]:
    """Yield the file and the bytes of each clip's array, and its length, which an index does not have for an `.npz`."""
    samples = group_samples(list_tar(tar), tar)
    for clip in index.clips:
        sample = samples[clip.key]
        extension = clip_extension(sample, None, f"{tar}: sample {clip.key!r}") or ""
        member = sample[extension]
        location = {"file": tar.name, "extension": extension, "start": member.start, "size": member.size}
        yield {**location, "num_frames": clip.frames or len(_read_raw(tar, location, clip.key))}


def _read_clip(root: Path, num_keypoints: int, missing: MissingPoints, record: dict) -> np.ndarray:
    tar = root / record["file"]
    raw, where = _read_raw(tar, record, record["clip_id"]), f"{tar}: clip {record['clip_id']!r}"
    problem = shape_problem(raw.shape, raw.dtype, num_keypoints)
    if problem:
        raise CorruptRecordError(f"{where} {problem}; is the skeleton right?")
    return canonical_clip(missing.clear(raw), where=where)


def _read_raw(tar: Path, location: dict, name: str) -> np.ndarray:
    with tar.open("rb") as stream:
        stream.seek(location["start"])
        return read_array(stream.read(location["size"]), location["extension"], f"{tar}: clip {name!r}")
