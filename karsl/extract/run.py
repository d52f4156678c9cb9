"""Extract all clips of a source: in parallel, resumed by a journal, with a report; the result is an annotation root."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from karsl.errors import ConfigError, pluralize
from karsl.extract.base import Extractor, keypoint_mapping, recipe_id
from karsl.extract.clip import ClipTask, ExtractedClip, Recipe
from karsl.extract.videos import Video, VideoList
from karsl.io.annotations import class_metainfo, write_data_list
from karsl.io.atomic import atomic_path, disk_full_errors, exclusive_lock
from karsl.io.labels import LabelTable
from karsl.io.pack_reader import ANNOTATIONS
from karsl.pack.build import write_blocks
from karsl.skeletons import Skeleton, describe_skeleton

CLIPS, JOURNAL, REPORT = "clips", "journal.jsonl", "report.json"
_LIBRARIES = ("ai-edge-litert", "av", "numba", "numpy", "onnxruntime", "pillow", "torch")
Pool = Callable[[Iterator[tuple[Any, Any]], Any], Iterator[tuple[Any, Any]]]


@dataclass
class ExtractionReport:
    """Outcome of a run, written as `report.json`.

    Attributes:
        clips, frames: Number of clips and frames in the output.
        resumed: Number of these clips that earlier runs had extracted.
        seconds, cpu_s: Duration and processor time of this run.
        frames_per_s, frames_per_cpu_s: Frames of this run per second, and per second of processor time.
        failures: Sentence per failed clip.
        doubts: Clauses per doubtful clip.
        notes: Content of the source that was not read, and clips of earlier runs that are not in it.
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
    progress: Callable[[str, int], None] | None = None,
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
        progress: Called as `progress(description, num_done)` after each clip.

    Raises:
        ConfigError: If `out` contains files of another origin.
        PackError: If another process is writing `out`, a worker is killed, or the disk is full.
        SkeletonError: If extractor and skeleton share no keypoint.
    """
    out = Path(out).resolve()
    keypoint_mapping(extractor, skeleton)
    recipe = Recipe(extractor, skeleton, recipe_id(extractor.recipe, skeleton))
    with exclusive_lock(out), disk_full_errors(out, resumable=True):
        done = _resume(out, source, recipe.recipe_id)
        todo = [video for video in source.videos if video.clip_id not in done]
        report = ExtractionReport(resumed=len(done), recipe=extractor.recipe, notes=list(source.notes))
        report.failures |= source.problems
        write = pool or partial(write_blocks, workers=min(workers, len(todo)))
        step = progress or (lambda description, num_done: None)
        _run_tasks(source.root.resolve(), out, todo, recipe, write, done, report, step)
        _add_totals(report, source, done)
        if report.clips:
            _write_annotations(out, source, recipe, done, report, label_table)
        with atomic_path(out / REPORT) as temp:
            temp.write_text(json.dumps(asdict(report), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return report


def _resume(out: Path, source: VideoList, recipe: str) -> dict[str, dict]:
    """Return the journal's entries of clips that are complete and up to date, and drop outdated ones from it.

    It keeps those of clips that are not in the source, so that the same call for their source finds them.

    Raises:
        ConfigError: If the folder contains something else.
    """
    journal = out / JOURNAL
    if not journal.is_file():
        foreign = sorted(entry.name for entry in out.iterdir()) if out.is_dir() else []
        if out.is_file() or foreign:
            what = f"contains {foreign[0]!r}" if foreign else "is a file"
            raise ConfigError(f"{out} {what}, which no extraction wrote; choose a new or empty folder")
        out.mkdir(parents=True, exist_ok=True)
        journal.touch()
        return {}
    for part in (out / CLIPS).rglob(".*.part.npy"):  # of killed workers
        part.unlink(missing_ok=True)
    states = {video.clip_id: _state(source.root / video.path) for video in source.videos}
    done, others = {}, {}
    for line in journal.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError, KeyError, TypeError):  # a line that a kill cut off
            entry = json.loads(line)
            clip_id = entry["record"]["clip_id"]
            is_complete = _size(out / entry["record"]["keypoint_path"]) == entry["bytes"]
            if clip_id not in states and is_complete:
                others[clip_id] = entry
            elif entry["recipe"] == recipe and entry["state"] == states.get(clip_id) and is_complete:
                done[clip_id] = entry
    with atomic_path(journal) as temp:
        temp.write_text("".join(f"{json.dumps(entry)}\n" for entry in (others | done).values()), encoding="utf-8")
    return done


def _run_tasks(
    root: Path,
    out: Path,
    todo: list[Video],
    recipe: Recipe,
    write: Pool,
    done: dict[str, dict],
    report: ExtractionReport,
    step: Callable[[str, int], None],
) -> None:
    """Extract clips, and add a line to the journal after each."""
    start, frames = time.monotonic(), 0
    tasks = ((video, ClipTask(video, root, out / CLIPS)) for video in todo)
    states = {video.clip_id: _state(root / video.path) for video in todo}  # before the frames are read
    with (out / JOURNAL).open("a", encoding="utf-8") as journal:
        for video, result in write(tasks, recipe):
            if result.failure:
                report.failures[video.path] = result.failure.removeprefix(f"{root / video.path}: ")
            else:
                entry = _journal_entry(result, recipe, states[video.clip_id], out)
                journal.write(json.dumps(entry) + "\n")
                journal.flush()
                done[video.clip_id] = entry
                frames += result.record["num_frames"]
            report.cpu_s += result.cpu_s
            report.seconds = time.monotonic() - start
            step(f"extracting, {frames / report.seconds:.1f} frames/s", 1)
    if frames:
        report.frames_per_s = round(frames / report.seconds, 2)
        report.frames_per_cpu_s = round(frames / report.cpu_s, 2) if report.cpu_s else 0.0
    report.seconds, report.cpu_s = round(report.seconds, 2), round(report.cpu_s, 2)


def _journal_entry(result: ExtractedClip, recipe: Recipe, state: list[int] | None, out: Path) -> dict:
    size = _size(out / result.record["keypoint_path"])
    return {"recipe": recipe.recipe_id, "state": state, "bytes": size, "record": result.record, "doubts": result.doubts}


def _add_totals(report: ExtractionReport, source: VideoList, done: dict[str, dict]) -> None:
    entries = [done[video.clip_id] for video in source.videos if video.clip_id in done]
    report.clips, report.frames = len(entries), sum(entry["record"]["num_frames"] for entry in entries)
    report.failures = dict(sorted(report.failures.items()))
    report.doubts = {entry["record"]["clip_id"]: list(entry["doubts"]) for entry in entries if entry["doubts"]}
    for side in ("left_hand", "right_hand"):
        shares = [(e["record"][side], e["record"]["num_frames"]) for e in entries if side in e["record"]]
        if shares:
            present = sum(share * frames for share, frames in shares)
            report.missing_hands[side] = round(1 - present / sum(frames for _, frames in shares), 4)
    report.libraries = {name: found for name in _LIBRARIES if (found := _version(name))}


def _write_annotations(
    out: Path,
    source: VideoList,
    recipe: Recipe,
    done: dict[str, dict],
    report: ExtractionReport,
    label_table: LabelTable | None,
) -> None:
    """Write the records in the order of the source, with classes."""
    videos = [video for video in source.videos if video.clip_id in done]
    classes, label_of = _classes(videos, label_table)
    records = []
    for video in videos:
        entry, key = done[video.clip_id], video.metadata.get("sign", video.metadata.get("class"))
        record = {**entry["record"], **({"label": label_of[key]} if key in label_of else {})}
        records.append({**record, **({"doubts": list(entry["doubts"])} if entry["doubts"] else {})})
    unlabeled = sum("label" not in record for record in records)
    if unlabeled:
        advice = "arrange them as <class>/<video>, or pass a CSV list with a column 'class'"
        report.notes.append(f"{pluralize(unlabeled, 'clip')} without a class; {advice}")
    kept = {path.relative_to(out / CLIPS).with_suffix("").as_posix() for path in (out / CLIPS).rglob("[!.]*.npy")}
    extra = len(kept - {video.clip_id for video in videos})
    if extra:
        report.notes.append(f"{pluralize(extra, 'clip')} of earlier runs in {out / CLIPS}, but not in {ANNOTATIONS}")
    metainfo = {
        "dataset_name": "karsl" if "signs" in classes else source.root.resolve().name,
        "skeleton": describe_skeleton(recipe.skeleton),
        **classes,
        "extractor": recipe.extractor.recipe,
        "coordinates": "x and y in [0, 1] of the picture, not mirrored; missing keypoints are zeros",
        "video_root": str(source.root.resolve()),
    }
    write_data_list(out / ANNOTATIONS, metainfo, records)


def _classes(videos: list[Video], label_table: LabelTable | None) -> tuple[dict[str, Any], dict[Any, int]]:
    """Return the classes as metainfo, and the label of each SignID or class name."""
    signs = tuple(sorted({video.metadata["sign"] for video in videos if "sign" in video.metadata}))
    names = sorted({str(v.metadata["class"]) for v in videos if "class" in v.metadata and "sign" not in v.metadata})
    known = label_table if label_table and set(signs) <= set(label_table.signs) else None
    metainfo: dict[str, Any] = class_metainfo(signs, known) if signs else {}
    if names:
        metainfo = {"classes": (*metainfo.get("classes", ()), *names)}
    return metainfo, {key: label for label, key in enumerate((*signs, *names))}


def _state(path: Path) -> list[int] | None:
    """Return size and modification time of a video or folder, None if it is absent."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""
