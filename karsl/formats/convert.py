"""Open clips of any format, and convert them to another: `open_clips`, `convert`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import DISK_FULL, ConfigError, DataErrors, DatasetNotFoundError, SkeletonError, pluralize
from karsl.formats.base import FORMATS, ConversionJob, Format, LossReport, detect_format, get_format, writable_formats
from karsl.formats.safe_pickle import Trusted
from karsl.io.array_layout import ArrayLayout
from karsl.io.atomic import atomic_output
from karsl.io.file_index import Progress
from karsl.io.missing import STRICT, MissingPoints
from karsl.io.sources import (
    ClipSource,
    FunctionSource,
    RemappedSource,
    check_source,
    content_errors,
    marker_notes,
    readable_clips,
)
from karsl.skeletons import Skeleton, get_skeleton

DTYPES = ("float32", "float16")
SKIP_BAD = "add --skip-bad (skip_bad=True) to leave these clips out"


@dataclass(frozen=True)
class ConversionResult:
    """Outcome of `convert`.

    Attributes:
        path: File or folder that was written.
        num_clips: Number of clips in it.
        losses: One line for each kind of information that was lost.
        notes: Further remarks, one line each.
        problems: One sentence for each clip that was left out.
    """

    path: Path
    num_clips: int
    losses: tuple[str, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...] = ()


def open_clips(
    path: str | Path,
    *,
    format: str | None = None,
    skeleton: str | Mapping[str, Any] | Skeleton | None = None,
    trusted: Trusted = (),
    label_table: str | Path | None = None,
    layout: ArrayLayout | Skeleton | str | Mapping[str, Any] | None = None,
    pattern: str | None = None,
    labels: str | Path | None = None,
    progress: Progress | None = None,
    missing: MissingPoints = STRICT,
    skip_bad: bool = False,
    person: int | None = None,
) -> ClipSource:
    """Open clips for reading.

    Args:
        path: File or folder.
        format: Name in `FORMATS`. None detects it from the path.
        skeleton: Skeleton of the clips, for formats that do not name it. For others, the skeleton to map the clips to.
        trusted: Pickle files that may be read, or True for any. Only plain data is restored from them.
        label_table: File with glosses, for formats that store SignIDs only. None searches next to the clips.
        layout, pattern, labels: What the numbers of array files are, which files to read and where labels are, see
            `karsl.formats.arrays.scan_arrays`. With one of them, the format is `'arrays'` unless it is named.
        progress: `progress(files, total)` wraps the iteration over the files of a data root.
        missing: Rules that say which points are missing, for example those that are NaN.
        skip_bad: Leave out clips whose headers show that they cannot be read; they are `problems` of the source.
        person: Position of the person to read, from 0, for formats with several persons. None chooses one, see
            `select_person`.

    Raises:
        DatasetNotFoundError: If `path` does not exist.
        ConfigError: If the format is unknown or not detected, a label table is passed to a format that uses none, or a
            pickle is not trusted.
        KarslError: If the reader finds problems, with all of them.
    """
    path = Path(path)
    if not path.exists():
        raise DatasetNotFoundError(f"no file or folder {str(path)!r} to read clips from")
    arrays = {"layout": layout, "pattern": pattern, "labels": labels}
    arrays = {key: value for key, value in arrays.items() if value is not None}
    chosen = get_format(format or "arrays") if format or arrays else detect_format(path)
    if chosen.reader is None:
        readable = ", ".join(f.name for f in FORMATS.values() if f.reader)
        raise ConfigError(f"format {chosen.name!r} is write-only; formats that can be read: {readable}")
    if arrays and not chosen.uses_layout:
        raise ConfigError(f"{path}: format {chosen.name!r} has a fixed layout; leave out {', '.join(arrays)}, or the format")
    if label_table is not None and not chosen.uses_label_table:
        raise ConfigError(f"{path}: format {chosen.name!r} stores its class names; leave out label_table (--label-sheet)")
    if person is not None and not chosen.has_persons:
        several = ", ".join(f.name for f in FORMATS.values() if f.has_persons)
        raise ConfigError(f"{path}: format {chosen.name!r} has one person; person={person} (--person) is for {several}")
    requested = None if skeleton is None else get_skeleton(skeleton)
    table = None if label_table is None else Path(label_table)
    options = {"trusted": trusted, "label_table": table, "progress": progress, "missing": missing}
    chosen_person = {} if person is None else {"person": person}
    with content_errors(f"{path} as format {chosen.name!r}"):
        source = chosen.reader(path, skeleton=requested, **options, **arrays, **chosen_person)
    check_source(source, path)
    if source.problems and not (skip_bad and source.records):
        raise DataErrors(str(path), source.problems, SKIP_BAD if source.records else "")
    if isinstance(source, FunctionSource):
        source = replace(source, root=path.resolve())
    return source if requested is None or source.skeleton == requested else RemappedSource(source, requested)


def convert(
    source: ClipSource,
    out: str | Path,
    format: str,
    *,
    skeleton: str | Mapping[str, Any] | Skeleton | None = None,
    strict: bool = False,
    dtype: str = "float32",
    progress: Progress | None = None,
    skip_bad: bool = False,
) -> ConversionResult:
    """Write all clips of a source in a format. On failure nothing is written.

    Args:
        source: Clips to write, see `open_clips`.
        out: File or folder that does not exist yet.
        format: Name in `FORMATS`.
        skeleton: Skeleton to write, matched by keypoint names. None uses that of the format, else that of the source.
        strict: Raise if information would be lost.
        dtype: `'float32'`, or `'float16'` for formats that support it.
        progress: `progress(records, total)` wraps the iteration over clips.
        skip_bad: Read every clip first, and leave out those that fail.

    Raises:
        ConfigError: If the format is unknown or read-only, `out` exists or is being written, or a loss occurs while strict.
        SkeletonError: If source and target skeleton share no keypoint.
        DataErrors: If clips could not be read, with all of them.
    """
    out, chosen = Path(out), get_format(format)
    if not chosen.writer:
        raise ConfigError(f"format {format!r} is read-only; formats that can be written: {', '.join(writable_formats())}")
    if dtype not in DTYPES or (dtype == "float16" and not chosen.supports_half):
        halves = ", ".join(f.name for f in FORMATS.values() if f.supports_half)
        raise ConfigError(f"--dtype {dtype} for format {format!r}; expected float32, or float16 for {halves}")
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise ConfigError(f"{out} exists; choose another name")
    problems = list(source.problems)
    if skip_bad:
        source, unreadable = readable_clips(source, progress)
        problems += unreadable
    _check_records(source, problems)
    target = _target_skeleton(source, chosen, skeleton)
    losses = LossReport(format, strict=strict)
    job = ConversionJob(source, target, chosen.supports, losses, dtype=np.dtype(dtype), progress=progress)
    try:
        with atomic_output(out, is_file=chosen.is_file) as path:
            chosen.writer(path, job)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise ConfigError(f"disk full while writing {out} ({error.strerror}); free space, nothing was written") from error
    notes = (*source.notes, *marker_notes(source), *_missing_points(source, target), *_format_hint(out, chosen))
    return ConversionResult(out, len(source.records), losses.lines(len(source.records)), notes, tuple(problems))


def _check_records(source: ClipSource, skipped: Sequence[str]) -> None:
    """Raise all problems of ids, labels and lengths, which writers rely on."""
    if not source.records and skipped:
        raise DataErrors("the clips to convert", skipped, "no clip is left")
    if not source.records:
        raise ConfigError("the source has no clips; nothing was written")
    count, clip_ids, problems = len(source.metainfo.get("classes", ())), set(), []
    for number, record in enumerate(source.records):
        missing = [key for key in ("clip_id", "label", "num_frames") if record.get(key) is None]
        if missing:
            problems.append(f"record {number} has no {missing}; add it")
            continue
        if record["clip_id"] in clip_ids:
            problems.append(f"two clips are named {record['clip_id']!r}; rename one")
        if not (isinstance(record["label"], (int, np.integer)) and 0 <= record["label"] < count):
            problems.append(
                f"clip {record['clip_id']!r} has label {record['label']!r}, but the source has {pluralize(count, 'class')}"
            )
        clip_ids.add(record["clip_id"])
    if problems:
        unlabeled = all(record.get("label") is None for record in source.records)
        raise DataErrors(
            "the clips to convert", problems, "labels of array files: --labels FILE (labels=)" if unlabeled else ""
        )


def _target_skeleton(source: ClipSource, chosen: Format, requested: str | Mapping[str, Any] | Skeleton | None) -> Skeleton:
    own = None if chosen.skeleton is None else get_skeleton(chosen.skeleton)
    target = own or (source.skeleton if requested is None else get_skeleton(requested))
    if own and requested is not None and get_skeleton(requested) != own:
        raise ConfigError(f"format {chosen.name!r} always has skeleton {own.name!r}; omit the skeleton or convert twice")
    if not set(target.names) & set(source.skeleton.names):
        raise SkeletonError(
            f"skeletons {source.skeleton.name!r} and {target.name!r} share no keypoint; is the source's right?"
        )
    return target


def _missing_points(source: ClipSource, target: Skeleton) -> tuple[str, ...]:
    missing = int((target.mapping_from(source.skeleton) < 0).sum())
    text = f"{missing} of the {target.num_keypoints} points of {target.name!r} are not in the source and are missing"
    return (text,) if missing else ()


def _format_hint(out: Path, chosen: Format) -> tuple[str, ...]:
    """Return a note on reading the output if its path does not identify the format."""
    if chosen.reader is None:
        return ()
    with suppress(ConfigError):
        if detect_format(out).reader == chosen.reader:
            return ()
    return (f"the format cannot be detected from the name {out.name!r}; read it with --from {chosen.name}",)
