"""Annotation files of OpenMMLab, which refer to archives, single arrays or a pack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from karsl.errors import DataErrors
from karsl.formats.base import ConversionJob, class_list, file_with_suffix, register_format, resolve_skeleton
from karsl.formats.folders import NpzFolderWriter
from karsl.io.annotations import MANIFEST, check_pack_version, parse_annotations, write_data_list
from karsl.io.array_layout import ArrayLayout
from karsl.io.missing import STRICT, MissingPoints
from karsl.io.pack_reader import ANNOTATIONS
from karsl.io.sources import IndexedSource, public_record
from karsl.skeletons import Skeleton, describe_skeleton


def _is_annotation(path: Path) -> bool:
    return (path / ANNOTATIONS).is_file() if path.is_dir() else file_with_suffix(".json")(path)


def write_annotated(out: Path, job: ConversionJob) -> None:
    """Write `annotations.json` and one archive per class, ready for KeypointDataset."""
    records = []
    with NpzFolderWriter(out) as archives:
        for record, clip in job.clips(key=lambda r: r["label"]):
            name, key = f"clips/{record['label']:04d}.npz", record["clip_id"]
            archives.write(name, key, clip)
            records.append({**public_record(record), "keypoint_path": name, "keypoint_key": key})
    write_data_list(out / ANNOTATIONS, {**job.metainfo, "skeleton": describe_skeleton(job.skeleton)}, records)


@register_format(
    "pack",
    description="memory-mapped shards with checksums; 'karsl pack' writes them from any format here",
    cannot_store="everything",
    detect=lambda path: (path / MANIFEST).is_file(),
    priority=10,
)
@register_format(
    "annotation",
    description="annotations.json that refers to clips, as in a pack; written with one .npz per class",
    cannot_store="nothing",
    detect=_is_annotation,
    priority=40,  # after KArSL's folders, which may be newer than an annotation file in them, and the ASL-App's json
    writer=write_annotated,
    supports_half=True,
)
def open_annotation(
    path: Path, *, skeleton: Skeleton | None = None, missing: MissingPoints = STRICT, **_: Any
) -> IndexedSource:
    """Open an annotation file, or the one in a folder such as a pack. Its paths are relative to it.

    Raises:
        AnnotationError: If the file is malformed, or neither it nor `skeleton` names the skeleton.
        DataErrors: If records lack the keys that locate and name their clips, with all of them.
        PackError: If it is that of a pack of another version.
    """
    path = path / ANNOTATIONS if path.is_dir() else path
    check_pack_version(path.parent)
    metainfo, records = parse_annotations(path)
    layout = ArrayLayout.parse(metainfo.pop("layout")) if "layout" in metainfo else None
    points = layout.skeleton if layout else resolve_skeleton(metainfo.get("skeleton"), skeleton, where=path)
    problems = [
        f"record {number} has no {key!r}; add it"
        for number, record in enumerate(records)
        for key in ("clip_id", "keypoint_path", "num_frames")
        if key not in record
    ]
    if problems:
        raise DataErrors(str(path), problems)
    if "classes" not in metainfo and all("label" in r for r in records):
        metainfo["classes"] = class_list(r["label"] for r in records)
    metainfo["skeleton"] = describe_skeleton(points)
    return IndexedSource(metainfo, points, records, path.parent.resolve(), layout=layout, missing=missing)
