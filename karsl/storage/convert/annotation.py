"""OpenMMLab's annotation file as a source: it points to archives, single arrays, or a pack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from karsl.errors import DataErrors
from karsl.skeletons import Skeleton, describe_skeleton
from karsl.storage.annotation import read_annotation, write_list
from karsl.storage.clip_source import public
from karsl.storage.convert.archive_folder import ArchiveFolder
from karsl.storage.convert.job import Job
from karsl.storage.convert.located import LocatedClips
from karsl.storage.convert.said import numbered_classes, skeleton_of
from karsl.storage.packed import ANNOTATIONS


def open_annotation(path: Path, *, skeleton: Skeleton | None = None, **_: Any) -> LocatedClips:
    """Open an annotation file, or the one that lies in a folder such as a pack's; its paths are relative to it.

    Raises:
        AnnotationError: Not in the format, or nothing says what the points are.
        DataErrors: Records that lack what finds and names their clips, all at once.
    """
    path = path / ANNOTATIONS if path.is_dir() else path
    metainfo, records = read_annotation(path)
    points = skeleton_of(metainfo.get("skeleton"), skeleton, where=path)
    problems = [
        f"record {number} has no {key!r}; add it"
        for number, record in enumerate(records)
        for key in ("clip_id", "keypoint_path", "num_frames")
        if key not in record
    ]
    if problems:
        raise DataErrors(str(path), problems)
    if "classes" not in metainfo and all("label" in r for r in records):
        metainfo["classes"] = numbered_classes(r["label"] for r in records)
    metainfo["skeleton"] = describe_skeleton(points)
    return LocatedClips(metainfo, points, records, path.parent.resolve())


def write_annotated(out: Path, job: Job) -> None:
    """Write `annotations.json` and one archive for each class: what KeypointDataset reads as it is."""
    records = []
    with ArchiveFolder(out) as archives:
        for record, clip in job.clips(by=lambda r: r["label"]):
            name, key = f"clips/{record['label']:04d}.npz", record["clip_id"]
            archives.write(name, key, clip)
            records.append({**public(record), "keypoint_path": name, "keypoint_key": key})
    write_list(out / ANNOTATIONS, {**job.metainfo, "skeleton": describe_skeleton(job.skeleton)}, records)
