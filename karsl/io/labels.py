"""Label tables: SignID, Arabic and English gloss, from csv, xlsx or JSON word lists."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from karsl.errors import AnnotationError, missing_extra
from karsl.schema import convert, read_json, whole_number

LABEL_FILES = ("labels.csv", "KARSL-502_Labels.csv", "KARSL-502_Labels.xlsx", "KARSL-502_Labels.json")
_MAX_XLSX_BYTES = 256 << 20  # unpacked; the official sheet has 0.1 MB
_REMEDY = "save it again, text as UTF-8"
_COLUMNS = ("SignID", "Sign-Arabic", "Sign-English")


@dataclass(frozen=True)
class LabelTable:
    """Glosses by SignID. SignIDs are unique and ascending; glosses may repeat (`thermometer` occurs twice)."""

    signs: tuple[int, ...]
    arabic: tuple[str, ...]
    english: tuple[str, ...]


def find_label_table(data_root: str | Path) -> Path | None:
    """Return the path of the label table in a data root, searched under the usual names, or None."""
    return next((p for name in LABEL_FILES if (p := Path(data_root) / name).is_file()), None)


def read_label_table(path: str | Path) -> LabelTable:
    """Read a table with the columns SignID, Sign-Arabic and Sign-English.

    Args:
        path: `.csv` (UTF-8), `.xlsx` (needs the extra `[labels]`) or `.json` with AR_WORDS and EN_WORDS.

    Raises:
        FileNotFoundError: If there is no such file.
        AnnotationError: If the file is damaged, a column is missing, or a SignID is not a number or occurs twice.
        MissingExtraError: If openpyxl is not installed and the file is `.xlsx`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no label table {str(path)!r}; expected a csv, xlsx or json file")
    readers = {".csv": _csv_rows, ".xlsx": _xlsx_rows, ".json": _json_rows}
    if path.suffix.lower() not in readers:
        raise AnnotationError(f"{path}: a label table is csv, xlsx or json, not {path.suffix!r}")
    return _to_table(path, readers[path.suffix.lower()](path))


@dataclass(frozen=True)
class _Words:
    """Content of a JSON label table."""

    AR_WORDS: list[str | int | float]
    EN_WORDS: list[str | int | float]


def _to_table(path: Path, rows: list[dict]) -> LabelTable:
    entries: dict[int, tuple[str, str]] = {}
    for line, row in enumerate(rows, start=2):
        values = {_clean(name): _clean(value) for name, value in row.items() if isinstance(name, str)}
        if not any(values.values()):  # the empty rows that spreadsheets save
            continue
        missing = [c for c in _COLUMNS if not values.get(c) and (c == "SignID" or c not in values)]
        if missing:
            raise AnnotationError(
                f"{path}, row {line}: no value under {missing}; the columns are {_COLUMNS}{_separator_hint(values)}"
            )
        sign = whole_number(values["SignID"])
        if sign is None:
            raise AnnotationError(f"{path}, row {line}: SignID {values['SignID']!r} is not a number")
        if sign in entries:
            raise AnnotationError(f"{path}, row {line}: SignID {sign} occurs twice; remove one of the rows")
        entries[sign] = (values["Sign-Arabic"], values["Sign-English"])
    if not entries:
        raise AnnotationError(f"{path}: the label table has no rows")
    signs = tuple(sorted(entries))
    return LabelTable(signs, tuple(entries[s][0] for s in signs), tuple(entries[s][1] for s in signs))


def _clean(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _separator_hint(values: Mapping[str, str]) -> str:
    """Return a clause about the separator of columns, if another one was used."""
    other = next((c for c in ";\t|" if any(c in name for name in values)), None)
    return "" if other is None else f", and {other!r} does not separate them; save the table with commas"


def _csv_rows(path: Path) -> list[dict]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return list(csv.DictReader(stream, restkey="", skipinitialspace=True))
    except (ValueError, csv.Error) as error:
        raise _unreadable(path, error) from error


def _json_rows(path: Path) -> list[dict]:
    content = read_json(path, error=AnnotationError, remedy=_REMEDY)
    if not isinstance(content, dict) or not {"AR_WORDS", "EN_WORDS"} <= content.keys():
        raise AnnotationError(f"{path}: a JSON label table has the lists AR_WORDS and EN_WORDS")
    words = convert(content, _Words, where=path, error=AnnotationError, remedy=_REMEDY)
    arabic, english = words.AR_WORDS, words.EN_WORDS
    if len(arabic) != len(english):
        raise AnnotationError(f"{path}: {len(arabic)} Arabic and {len(english)} English words; their lengths must be equal")
    return [dict(zip(_COLUMNS, (i + 1, *pair), strict=True)) for i, pair in enumerate(zip(arabic, english, strict=True))]


def _xlsx_rows(path: Path) -> list[dict]:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise missing_extra("labels", "openpyxl") from None
    try:
        with ZipFile(path) as archive:
            size = sum(max(member.file_size, member.compress_size) for member in archive.infolist())
        if size > _MAX_XLSX_BYTES:
            raise ValueError(f"its archive declares {size:,} bytes, more than {_MAX_XLSX_BYTES:,}")
        book = load_workbook(path, read_only=True, data_only=True)
        try:
            rows = list(book.worksheets[0].iter_rows(values_only=True))
        finally:
            book.close()
    except MemoryError:
        raise
    except Exception as error:  # of the zip, XML and number parsers behind openpyxl, which document none
        raise _unreadable(path, error) from error
    if not rows:
        raise AnnotationError(f"{path}: the first worksheet is empty")
    header, *others = rows
    return [dict(zip(header, row, strict=False)) for row in others]


def _unreadable(path: Path, error: Exception) -> AnnotationError:
    return AnnotationError(f"{path}: not a readable label table ({error}); {_REMEDY}")
