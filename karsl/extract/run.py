"""Extract all clips of a source: in parallel, resumed by a journal, with a report; the result is an annotation root."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from karsl.errors import pluralize
from karsl.extract.base import Extractor, keypoint_mapping, recipe_id
from karsl.extract.clip import ClipTask, ExtractedClip, Recipe
from karsl.extract.journal import CLIPS, Journal
from karsl.extract.videos import Video, VideoList
from karsl.io.annotations import class_metainfo, write_data_list
from karsl.io.atomic import atomic_path, disk_full_errors, exclusive_lock
from karsl.io.labels import LabelTable
from karsl.io.pack_reader import ANNOTATIONS
from karsl.pack.build import write_blocks
from karsl.skeletons import Skeleton, describe_skeleton

REPORT = "report.json"
_LIBRARIES = ("ai-edge-litert", "av", "numba", "numpy", "onnxruntime", "pillow", "torch")
Pool = Callable[[Iterator[tuple[Any, Any]], Any], Iterator[tuple[Any, Any]]]
Progress = Callable[[str, int], None]


@dataclass
class ExtractionReport:
    """Outcome of a run, written as `report.json`.

    Attributes:
        clips, frames: Number of clips and frames in the output.
        resumed: Number of these clips that earlier runs had extracted.
        seconds, cpu_s: Duration and processor time of this run.
        frames_per_s, frames_per_cpu_s: Frames of this run per second, and per second of processor time.
        failures: Sentence per failed clip, by the path of its video.
        doubts: Clauses per doubtful clip, by its id.
        notes: Content of the source that was not read or not used, and clips of earlier runs that are not in it.
        missing_hands: Share of frames without each hand.
        recipe: Recipe of the extractor.
        libraries: Versions of the libraries that took part.
    """

    clips: int = 0
    frames: int = 0
    resumed: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    frames_per_s: float = 0.0
    frames_per_cpu_s: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)
    doubts: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    missing_hands: dict[str, float] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)


def extract_clips(
    source: VideoList,
    out: str | Path,
    extractor: Extractor,
    skeleton: Skeleton,
    *,
    workers: int = 0,
    pool: Pool | None = None,
    label_table: LabelTable | None = None,
    progress: Progress | None = None,
) -> ExtractionReport:
    """Write the keypoints of every clip of a source, and `annotations.json`; repeat the call to resume or to retry.

    A clip is extracted again if its video, the recipe or the skeleton changed. The files do not depend on the number of
    processes or on interruptions.

    Args:
        source: See `list_videos`.
        out: Folder to write: `clips/<clip_id>.npy`, `annotations.json`, `report.json` and the journal.
        extractor: See `make_extractor`.
        skeleton: Skeleton to write; keypoints are matched by name.
        workers: Number of processes, each with its own networks; 0 uses this process.
        pool: Replacement of `write_blocks`, on a cluster for example.
        label_table: Glosses of SignIDs.
        progress: Called as `progress(description, num_done)` at the start and after each clip.

    Raises:
        ConfigError: If `out` contains files of another origin.
        PackError: If another process is writing `out`, a worker is killed, or the disk is full.
        SkeletonError: If extractor and skeleton share no keypoint.
    """
    out = Path(out).resolve()
    keypoint_mapping(extractor, skeleton)
    recipe = Recipe(extractor, skeleton, recipe_id(extractor.recipe, skeleton))
    report = ExtractionReport(recipe=extractor.recipe, notes=list(source.notes), failures=dict(source.problems))
    with exclusive_lock(out), disk_full_errors(out, resumable=True):
        journal = Journal(out, source, recipe.recipe_id)
        report.resumed = len(journal.records)
        step = progress or (lambda description, num_done: None)
        step("extracting", report.resumed)
        todo = [video for video in source.videos if video.clip_id not in journal.records]
        tasks = ((video, ClipTask(video, source.root.resolve(), out / CLIPS)) for video in todo)
        write: Pool = pool or partial(write_blocks, workers=min(workers, len(todo)))  # type: ignore[assignment]  # of ClipTask
        _collect(write(tasks, recipe), journal, report, step)
        videos = [video for video in source.videos if video.clip_id in journal.records]
        _add_totals(report, videos, journal)
        if videos:
            classes, labels = _classes(videos, label_table, report)
            metainfo = {**_metainfo(source, recipe), **classes}
            write_data_list(out / ANNOTATIONS, metainfo, [_to_record(video, journal, labels) for video in videos])
        _add_notes(report, videos, out)
        with atomic_path(out / REPORT) as temp:
            temp.write_text(json.dumps(asdict(report), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return report


def _collect(
    results: Iterator[tuple[Video, ExtractedClip]], journal: Journal, report: ExtractionReport, step: Progress
) -> None:
    """Add a line to the journal for each clip that was extracted, and the others to the report."""
    start, frames = time.monotonic(), 0
    for video, result in results:
        if result.failure:
            report.failures[video.path] = result.failure
        else:
            journal.append(result)
            frames += result.record["num_frames"]
        report.cpu_s += result.cpu_s
        report.seconds = time.monotonic() - start
        step(f"extracting, {frames / report.seconds:.1f} frames/s", 1)
    if frames:
        report.frames_per_s = round(frames / report.seconds, 2)
        report.frames_per_cpu_s = round(frames / report.cpu_s, 2) if report.cpu_s else 0.0
    report.seconds, report.cpu_s = round(report.seconds, 2), round(report.cpu_s, 2)


def _add_totals(report: ExtractionReport, videos: list[Video], journal: Journal) -> None:
    records = [journal.records[video.clip_id] for video in videos]
    report.clips, report.frames = len(records), sum(record["num_frames"] for record in records)
    report.failures = dict(sorted(report.failures.items()))
    report.doubts = {video.clip_id: doubts for video in videos if (doubts := _doubts(video, journal))}
    for side in ("left_hand", "right_hand"):
        present = [record[side] * record["num_frames"] for record in records if side in record]
        if present:
            report.missing_hands[side] = round(1 - sum(present) / report.frames, 4)
    report.libraries = {name: found for name in _LIBRARIES if (found := _version(name))}


def _classes(
    videos: list[Video], label_table: LabelTable | None, report: ExtractionReport
) -> tuple[dict[str, Any], dict[Any, int]]:
    """Return the classes as metainfo, and the label of each SignID or class name."""
    signs = tuple(sorted({video.metadata["sign"] for video in videos if "sign" in video.metadata}))
    names = sorted({str(v.metadata["class"]) for v in videos if "class" in v.metadata and "sign" not in v.metadata})
    unknown = sorted(set(signs) - set(label_table.signs)) if label_table else []
    if unknown:
        report.notes.append(f"the label sheet lacks sign {unknown[0]}, so all classes are named by SignID")
    metainfo: dict[str, Any] = class_metainfo(signs, None if unknown else label_table) if signs else {}
    if names:
        metainfo = {"classes": (*metainfo.get("classes", ()), *names)}
    return metainfo, {key: label for label, key in enumerate((*signs, *names))}


def _metainfo(source: VideoList, recipe: Recipe) -> dict[str, Any]:
    is_karsl = any("sign" in video.metadata for video in source.videos)
    return {
        "dataset_name": "karsl" if is_karsl else source.root.resolve().name,
        "skeleton": describe_skeleton(recipe.skeleton),
        "extractor": recipe.extractor.recipe,
        "coordinates": "x and y in [0, 1] of the picture, not mirrored; missing keypoints are zeros",
        "video_root": str(source.root.resolve()),
    }


def _to_record(video: Video, journal: Journal, labels: dict[Any, int]) -> dict[str, Any]:
    """Return the record of an annotation file; metadata is that of the source today, not of the run that extracted."""
    key = video.metadata.get("sign", video.metadata.get("class"))
    record = {**journal.records[video.clip_id], **video.metadata, "video": video.path}
    record.pop("class", None)
    if key in labels:
        record["label"] = labels[key]
    doubts = _doubts(video, journal)
    return {**record, "doubts": doubts} if doubts else record


def _doubts(video: Video, journal: Journal) -> list[str]:
    return [*video.doubts, *journal.doubts[video.clip_id]]


def _add_notes(report: ExtractionReport, videos: list[Video], out: Path) -> None:
    unlabeled = sum(not {"sign", "class"} & set(video.metadata) for video in videos)
    if unlabeled:
        advice = "arrange them as <class>/<video>, or pass a CSV list with a column 'class'"
        report.notes.append(f"{pluralize(unlabeled, 'clip')} without a class; {advice}")
    written = {path.relative_to(out / CLIPS).with_suffix("").as_posix() for path in (out / CLIPS).rglob("[!.]*.npy")}
    others = len(written - {video.clip_id for video in videos})
    if others:
        report.notes.append(f"{pluralize(others, 'clip')} of earlier runs in {out / CLIPS}, but not in {ANNOTATIONS}")


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""
