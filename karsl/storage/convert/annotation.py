"""OpenMMLab's annotation file as a source: it points to archives, single arrays, or a pack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from karsl.errors import AnnotationError
from karsl.skeletons import Skeleton, describe_skeleton
from karsl.storage.convert.archives import ArchiveFolder
from karsl.storage.convert.job import Job
from karsl.storage.convert.located import LocatedReader
from karsl.storage.convert.said import numbered_classes, skeleton_of
from karsl.storage.convert.sidecar import write_list
from karsl.storage.convert.source import Clips


def open_annotation(path: Path, *, skeleton: Skeleton | None = None, **_: Any) -> Clips:
    """Open an annotation file, or the one that lies in a folder such as a pack's; its paths are relative to it.

    Raises:
        AnnotationError: Not in the format, or nothing says what the points are.
    """
    path = path / "annotations.json" if path.is_dir() else path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        metainfo, records = dict(content["metainfo"]), list(content["data_list"])
    except (ValueError, KeyError, TypeError) as error:
        raise AnnotationError(f"{path}: not {{'metainfo': ..., 'data_list': [...]}} as json ({error!r})") from error
    points = skeleton_of(metainfo.get("skeleton"), skeleton, where=path)
    absent = [k for k in ("clip_id", "keypoint_path", "label", "num_frames") if any(k not in r for r in records)]
    if absent:
        raise AnnotationError(f"{path}: records without {absent}; write the file again with 'karsl prepare'")
    metainfo = {"classes": numbered_classes(r["label"] for r in records), **metainfo, "skeleton": describe_skeleton(points)}
    return Clips(metainfo, points, records, LocatedReader(path.parent, points.num_keypoints))


def write_annotated(out: Path, job: Job) -> None:
    """Write `annotations.json` and one archive for each class: what KeypointDataset reads as it is."""
    records = []
    with ArchiveFolder(out) as archives:
        for record, clip in job.clips(by=lambda r: r["label"]):
            name, key = f"clips/{record['label']:04d}.npz", record["clip_id"]
            archives.write(name, key, clip)
            records.append({**job.public(record), "keypoint_path": name, "keypoint_key": key})
    write_list(out / "annotations.json", {**job.metainfo, "skeleton": describe_skeleton(job.skeleton)}, records)
