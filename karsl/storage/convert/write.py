"""Convert a source to a form: whole or not at all, with what is lost said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import DISK_FULL, ConfigError, DataErrors, SkeletonError
from karsl.skeletons import Skeleton, get_skeleton
from karsl.storage.clip_source import ClipSource
from karsl.storage.convert.form import Form
from karsl.storage.convert.forms import FORMS, find_form, guess_form
from karsl.storage.convert.job import Job, Progress
from karsl.storage.convert.losses import Losses
from karsl.storage.convert.staging import atomic_target

DTYPES = ("float32", "float16")


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes:
        path: File or folder.
        num_clips: How many clips are in it.
        losses: One line for each kind of thing that could not be kept.
        notes: One line for each other thing worth knowing.
    """

    path: Path
    num_clips: int
    losses: tuple[str, ...]
    notes: tuple[str, ...]


def convert_clips(
    source: ClipSource,
    out: str | Path,
    form: str,
    *,
    skeleton: str | Mapping[str, Any] | Skeleton | None = None,
    strict: bool = False,
    dtype: str = "float32",
    progress: Progress | None = None,
) -> Conversion:
    """Write every clip of a source in some form.

    Args:
        source: As `open_source` gives it.
        out: File or folder that does not exist yet.
        form: A name of `FORMS`.
        skeleton: Points to write, found by name; default is the form's own, or else the source's.
        strict: Refuse when something would be lost.
        dtype: `'float16'` halves the bytes in forms that hold plain arrays.
        progress: `progress(records, total)` wraps the iteration over clips, for a bar.

    Raises:
        ConfigError: No such form, one that is only read, `out` exists or is being written, or a loss while strict.
        SkeletonError: Source and form share no point.
        DataErrors: Every clip that could not be read.
    """
    out, chosen = Path(out), find_form(form)
    if not chosen.writer:
        raise ConfigError(f"form {form!r} is read, not written; forms that are written: {', '.join(written_forms())}")
    if dtype not in DTYPES or (dtype == "float16" and not chosen.takes_half):
        halves = ", ".join(f.name for f in FORMS.values() if f.takes_half)
        raise ConfigError(f"--dtype {dtype} for form {form!r}; expected float32, or float16 for {halves}")
    _check_records(source)
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise ConfigError(f"{out} exists; give another name, or remove it first")
    target = _target(source, chosen.skeleton, skeleton)
    losses = Losses(form, strict=strict)
    job = Job(source, target, chosen.keeps, losses, dtype=np.dtype(dtype), progress=progress)
    try:
        with atomic_target(out, is_file=chosen.is_file) as part:
            chosen.writer(part, job)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise ConfigError(f"no room left for {out} ({error.strerror}); nothing was written, make some") from error
    notes = (*_notes(source, target), *_hint(out, chosen))
    return Conversion(out, len(source.records), losses.lines(len(source.records)), notes)


def written_forms() -> tuple[str, ...]:
    """Names of the forms that can be written."""
    return tuple(f.name for f in FORMS.values() if f.writer)


def _check_records(source: ClipSource) -> None:
    """Raise all that is wrong with the records at once: writers rely on ids, labels and lengths."""
    if not source.records:
        raise ConfigError("the source has no clips; nothing was written")
    count, seen, problems = len(source.metainfo.get("classes", ())), set(), []
    for number, record in enumerate(source.records):
        absent = [key for key in ("clip_id", "label", "num_frames") if record.get(key) is None]
        if absent:
            problems.append(f"record {number} has no {absent}; add it")
            continue
        if record["clip_id"] in seen:
            problems.append(f"two clips are called {record['clip_id']!r}; rename one")
        if not (isinstance(record["label"], (int, np.integer)) and 0 <= record["label"] < count):
            problems.append(f"clip {record['clip_id']!r} has label {record['label']!r}, the source names {count} classes")
        seen.add(record["clip_id"])
    if problems:
        raise DataErrors("the clips to convert", problems)


def _target(source: ClipSource, own: str | None, asked: str | Mapping[str, Any] | Skeleton | None) -> Skeleton:
    target = get_skeleton(own) if own else source.skeleton if asked is None else get_skeleton(asked)
    if own and asked is not None and get_skeleton(asked) != target:
        raise ConfigError(f"this form always has the points of {own!r}; leave out the skeleton, or convert twice")
    if not set(target.names) & set(source.skeleton.names):
        raise SkeletonError(
            f"skeletons {source.skeleton.name!r} and {target.name!r} share no keypoint; is the skeleton of the source right?"
        )
    return target


def _hint(out: Path, form: Form) -> tuple[str, ...]:
    """How to read what was written, where its name does not tell."""
    try:
        if guess_form(out).reader == form.reader:
            return ()
    except ConfigError:
        pass
    return (f"the name {out.name!r} does not tell the form; to read it, say --from {form.name}",)


def _notes(source: ClipSource, target: Skeleton) -> tuple[str, ...]:
    absent = int((target.mapping_from(source.skeleton) < 0).sum())
    if not absent:
        return source.notes
    return (
        *source.notes,
        f"{absent} of the {target.num_keypoints} points of {target.name!r} are not in the source: missing",
    )
