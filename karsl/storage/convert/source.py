"""Where clips come from, whatever form they lie in: one small protocol, and opening a path by its form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from karsl.errors import ConfigError, DatasetNotFoundError
from karsl.skeletons import Skeleton, get_skeleton
from karsl.storage.convert.forms import FORMS, Form, find_form, guess_form
from karsl.storage.convert.mapped import MappedClips
from karsl.storage.convert.plain_pickle import Trusted
from karsl.storage.convert.stamp import files_at, stamp_of
from karsl.storage.file_index import Progress


@runtime_checkable
class ClipSource(Protocol):
    """Clips in any form. A source is picklable and holds no open file, so that workers can read from it.

    Attributes:
        metainfo: `dataset_name`, `skeleton` as configs write it, `classes` (K), and `classes_ar`, `signs` where known.
        skeleton: Of every clip that `read` gives.
        records: One dict a clip: `clip_id`, `num_frames`, `label` (place in `classes`), and `sign`, `signer`, `split` where
            known; other keys are the source's own locator.
        notes: One sentence for each kind of thing that lies in the files and is not read.
    """

    @property
    def metainfo(self) -> dict: ...

    @property
    def skeleton(self) -> Skeleton: ...

    @property
    def records(self) -> list[dict]: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    def read(self, record: dict) -> np.ndarray:
        """The canonical clip of a record: float32 (T, V, 4), x y z score, four zeros where a point is missing."""
        ...


@dataclass(frozen=True)
class Clips:
    """A source made of a list of records and a function that reads one of them.

    Args:
        metainfo, skeleton, records, notes: See `ClipSource`.
        reader: Picklable; gives the canonical clip of a record.
        place: File or folder that it reads from, if any; without one, an interrupted `pack_clips` of it begins anew.

    Example:
        >>> from karsl.skeletons import Skeleton
        >>> dot = Skeleton("dot", (("pose", ("nose",)),))
        >>> records = [{"clip_id": "a", "label": 0, "num_frames": 2}]
        >>> source = Clips({"classes": ("hello",)}, dot, records, lambda record: np.ones((2, 1, 4)))
        >>> isinstance(source, ClipSource), source.read(source.records[0]).shape
        (True, (2, 1, 4))
    """

    metainfo: dict
    skeleton: Skeleton
    records: list[dict]
    reader: Callable[[dict], np.ndarray]
    notes: tuple[str, ...] = ()
    place: Path | None = None

    def read(self, record: dict) -> np.ndarray:
        """The canonical clip of a record, float32 (T, V, 4)."""
        return self.reader(record)

    @cached_property
    def stamp(self) -> str:
        """Stands for the state of all files there: names, sizes and times; empty without a place."""
        if self.place is None:
            return ""
        return stamp_of(self.place if self.place.is_dir() else self.place.parent, files_at(self.place))


def open_source(
    path: str | Path,
    *,
    form: str | None = None,
    skeleton: str | Mapping[str, Any] | Skeleton | None = None,
    trusted: Trusted = (),
    label_sheet: str | Path | None = None,
    progress: Progress | None = None,
) -> ClipSource:
    """Open clips for reading.

    Args:
        path: File or folder.
        form: A name of `FORMS`; None guesses from the path.
        skeleton: What the keypoints are, for forms that do not say it themselves; the points to give, for forms that do.
        trusted: Files that are pickles and may be read, or True; even then only plain data are rebuilt.
        label_sheet: Glosses of a form that has SignIDs alone; None looks for a sheet beside the clips.
        progress: Wraps the files of a data root while they are listed, for a bar.

    Raises:
        DatasetNotFoundError: Nothing lies at `path`.
        ConfigError: No such form, one that is only written, none that fits, a label sheet for one that takes none,
            or a pickle that is not among `trusted`.
        KarslError: What the form's reader finds wrong, all of it at once.
    """
    path = Path(path)
    if not path.exists():
        raise DatasetNotFoundError(f"no file or folder {str(path)!r} to read clips from")
    chosen: Form = find_form(form) if form else guess_form(path)
    if not chosen.reader:
        readable = ", ".join(f.name for f in FORMS.values() if f.reader)
        raise ConfigError(f"form {chosen.name!r} is written, not read; forms that are read: {readable}")
    if label_sheet is not None and not chosen.takes_sheet:
        raise ConfigError(f"{path}: form {chosen.name!r} names its classes itself; leave out label_sheet (--label-sheet)")
    given = None if skeleton is None else get_skeleton(skeleton)
    sheet = None if label_sheet is None else Path(label_sheet)
    source = chosen.open(path, skeleton=given, trusted=trusted, label_sheet=sheet, progress=progress)
    if isinstance(source, Clips):
        source = replace(source, place=path.resolve())
    return source if given is None or source.skeleton == given else MappedClips(source, given)
