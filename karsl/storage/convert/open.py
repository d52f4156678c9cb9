"""Opening clips by their path, whatever form they lie in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from karsl.errors import ConfigError, DatasetNotFoundError
from karsl.io.file_index import Progress
from karsl.skeletons import Skeleton, get_skeleton
from karsl.storage.clip_source import Clips, ClipSource
from karsl.storage.convert.forms import FORMS, find_form, guess_form
from karsl.storage.convert.mapped import MappedClips
from karsl.storage.convert.plain_pickle import Trusted


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
    chosen = find_form(form) if form else guess_form(path)
    if not chosen.reader:
        readable = ", ".join(f.name for f in FORMS.values() if f.reader)
        raise ConfigError(f"form {chosen.name!r} is written, not read; forms that are read: {readable}")
    if label_sheet is not None and not chosen.takes_sheet:
        raise ConfigError(f"{path}: form {chosen.name!r} names its classes itself; leave out label_sheet (--label-sheet)")
    given = None if skeleton is None else get_skeleton(skeleton)
    sheet = None if label_sheet is None else Path(label_sheet)
    source = chosen.reader(path, skeleton=given, trusted=trusted, label_sheet=sheet, progress=progress)
    if isinstance(source, Clips):
        source = replace(source, place=path.resolve())
    return source if given is None or source.skeleton == given else MappedClips(source, given)
