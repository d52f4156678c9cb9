"""Label tables: SignID, Arabic and English gloss, from csv, xlsx or JSON word lists."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

from karsl.errors import AnnotationError, missing_extra

LABEL_FILES = ("labels.csv", "KARSL-502_Labels.csv", "KARSL-502_Labels.xlsx", "KARSL-502_Labels.json")
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
    try:
        rows = readers[path.suffix.lower()](path)
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error, BadZipFile, KeyError) as error:  # the last two: xlsx
        raise AnnotationError(f"{path}: not a readable label table ({error}); save it again, text as UTF-8") from error
    return _to_table(path, rows)


def _to_table(path: Path, rows: list[dict]) -> LabelTable:
    entries: dict[int, tuple[str, str]] = {}
    for line, row in enumerate(rows, start=2):
        missing = [c for c in _COLUMNS if row.get(c) is None]
        if missing:
            raise AnnotationError(f"{path}, row {line}: no value under {missing}; the columns are {_COLUMNS}")
        try:
            sign = int(row["SignID"])
        except ValueError:
            raise AnnotationError(f"{path}, row {line}: SignID {row['SignID']!r} is not a number") from None
        if sign in entries:
            raise AnnotationError(f"{path}, row {line}: SignID {sign} occurs twice; remove one of the rows")
        entries[sign] = (str(row["Sign-Arabic"]).strip(), str(row["Sign-English"]).strip())
    if not entries:
        raise AnnotationError(f"{path}: the label table has no rows")
    signs = tuple(sorted(entries))
    return LabelTable(signs, tuple(entries[s][0] for s in signs), tuple(entries[s][1] for s in signs))


def _csv_rows(path: Path) -> list[dict]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def _json_rows(path: Path) -> list[dict]:
    words = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(words, dict) or not {"AR_WORDS", "EN_WORDS"} <= words.keys():
        raise AnnotationError(f"{path}: a JSON label table has the lists AR_WORDS and EN_WORDS")
    arabic, english = words["AR_WORDS"], words["EN_WORDS"]
    if len(arabic) != len(english):
        raise AnnotationError(f"{path}: {len(arabic)} Arabic and {len(english)} English words; their lengths must be equal")
    return [dict(zip(_COLUMNS, (i + 1, *pair), strict=True)) for i, pair in enumerate(zip(arabic, english, strict=True))]


def _xlsx_rows(path: Path) -> list[dict]:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise missing_extra("labels", "openpyxl") from None
    book = load_workbook(path, read_only=True, data_only=True)
    try:
        header, *rows = book.worksheets[0].iter_rows(values_only=True)
    except ValueError:
        raise AnnotationError(f"{path}: the first worksheet is empty") from None
    finally:
        book.close()
    return [dict(zip(header, row, strict=False)) for row in rows if any(v is not None for v in row)]
