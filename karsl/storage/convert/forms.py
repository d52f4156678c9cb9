"""The table of forms: what each is, who reads and writes it, what it cannot hold, and how a path is recognised."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from karsl.errors import ConfigError

if TYPE_CHECKING:
    from karsl.storage.convert.source import ClipSource

_HERE = "karsl.storage.convert"


@dataclass(frozen=True)
class Form:
    """One way that clips lie on a disk.

    Args:
        name: What `--to` and `--from` call it.
        layout: What lies there, in a few words.
        loses: What it cannot hold.
        looks_like: Whether a path may be this form; looks at names, not into files.
        reader: `module:function` that opens a path, empty if it is never read.
        writer: `module:function` that writes a source, empty if it is never written.
        is_file: The form is one file, not a folder.
    """

    name: str
    layout: str
    loses: str
    looks_like: Callable[[Path], bool]
    reader: str = ""
    writer: str = ""
    is_file: bool = False

    def open(self, path: Path, **options: Any) -> ClipSource:
        """The source at a path; imports the reader first."""
        return _named(self.reader)(path, **options)

    def write(self, out: Path, source: ClipSource, **options: Any) -> None:
        """Write every clip of a source; imports the writer first."""
        _named(self.writer)(out, source, **options)


def _named(place: str) -> Callable:
    module, _, function = place.partition(":")
    return getattr(import_module(f"{_HERE}.{module}"), function)


def _folder_with(pattern: str) -> Callable[[Path], bool]:
    return lambda path: path.is_dir() and next(path.glob(pattern), None) is not None


def _suffix(*suffixes: str) -> Callable[[Path], bool]:
    return lambda path: path.is_file() and path.suffix.lower() in suffixes


def _is_data_root(path: Path) -> bool:
    return path.is_dir() and any(p.is_dir() and re.fullmatch(r"\d{2}-\w+", p.name) for p in path.iterdir())


def _never(path: Path) -> bool:
    return False


_TABLE = (
    Form(
        "annotation",
        "annotations.json that points to clips; written with one .npz a class beside it",
        "nothing",
        lambda path: _suffix(".json")(path) or (path / "annotations.json").is_file(),
        reader="annotation:open_annotation",
        writer="annotation:write_annotated",
    ),
    Form(
        "karsl",
        "<signer>-<split>/<sign>.npz and labels.csv, as KArSL lies on disks",
        "clips without signer, sign or split",
        _is_data_root,
        reader="karsl_root:open_karsl",
        writer="karsl_root:write_karsl",
    ),
)

FORMS: dict[str, Form] = {form.name: form for form in _TABLE}
"""Every form by its name, in the order in which a path is tried."""


def find_form(name: str) -> Form:
    """The form of a name.

    Raises:
        ConfigError: There is none; the nearest is named.

    Example:
        >>> find_form("karsl").name
        'karsl'
    """
    if name in FORMS:
        return FORMS[name]
    near = get_close_matches(name, FORMS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"forms are {', '.join(FORMS)}"
    raise ConfigError(f"no form {name!r}; {hint}")


def guess_form(path: Path) -> Form:
    """The first form of the table that a path looks like.

    Raises:
        ConfigError: It looks like none.
    """
    for form in FORMS.values():
        if form.looks_like(path):
            return form
    raise ConfigError(f"{path} looks like none of the forms {', '.join(FORMS)}; say which with --from FORM (form=...)")
