"""Labels of clips in array files: from folders, file names, a pattern, a table, or parallel arrays."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import AnnotationError, ConfigError, CorruptRecordError, pluralize
from karsl.formats.array_clips import LABEL_ARRAYS, ClipArray, Label, strip_suffix
from karsl.formats.base import class_list
from karsl.formats.folders import class_name
from karsl.io.array_files import Key, read_array
from karsl.schema import parse_json

TABLES = ("labels.csv", "labels.json", "metadata.csv")
"""Names of label tables that are searched in the folder."""
RULES = ("folder", "file", "none")
SPLIT_NAMES = {"val": "val", "valid": "val", "validation": "val", "dev": "val"} | {n: n for n in ("train", "test")}
_NAME_COLUMNS = ("file", "filename", "file_name", "path", "keypoint_path", "clip", "clip_id", "name", "id", "video")
_LABEL_COLUMNS = ("label", "class", "word", "gloss", "sign", "target", "category")
_INDEX_COLUMNS, _KEY_COLUMNS = ("keypoint_index", "index", "row"), ("keypoint_key", "key")
_COPIED_COLUMNS = ("signer", "split", "fps", "sign")


def assign_labels(
    root: Path,
    arrays: Sequence[ClipArray],
    *,
    labels: str | Path | None,
    keys: dict[str, tuple[Key, ...]],
    has_pattern: bool,
) -> tuple[str, dict[str, Any]]:
    """Set `labels`, and other keys such as signers, of each array.

    Args:
        root: Folder of the arrays.
        arrays: Arrays in order; modified in place. Labels that a pattern has set are kept.
        labels: `'folder'`, `'file'`, `'none'`, or the path of a table (`.csv`, `.json`) or array (`.npy`), relative to the
            root or the working folder. None takes what there is: parallel arrays, a table, folders, or names of files with
            many clips.
        keys: Arrays of each file.
        has_pattern: True if a pattern was given, whose groups may name labels.

    Returns:
        Where labels are from, as text, and `classes` (and `signs`) for the metainfo.

    Raises:
        AnnotationError, ConfigError, CorruptRecordError: If the labels do not fit the clips.
    """
    _assign_splits(arrays)
    if has_pattern and labels is None and all(a.labels is not None or "sign" in a.constant for a in arrays):
        source = "the pattern"
    elif labels is None:
        source = _find_labels(root, arrays, keys)
    elif str(labels) in RULES:
        source = _apply_rule(str(labels), arrays)
    else:
        source = _apply_file(_find_file(root, labels), arrays)
    return source, _number_labels(arrays)


def _assign_splits(arrays: Iterable[ClipArray]) -> None:
    """Set `split` from a folder or the end of a file name, such as train/X.npy or X_train.npy."""
    for array in arrays:
        *folders, name = array.stem.lower().split("/")
        words = [*folders, re.split(r"[_\-.]", name)[-1]]
        split = next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)
        if split is not None:
            array.constant.setdefault("split", split)


def _find_labels(root: Path, arrays: Sequence[ClipArray], keys: dict[str, tuple[Key, ...]]) -> str:
    """Take labels from the first source that there is."""
    parallel = [_parallel_labels(root, array, keys[array.path]) for array in arrays]
    if all(found is not None for found in parallel):
        for array, found in zip(arrays, parallel, strict=True):
            array.labels = _checked(found[0], len(array), found[1])  # type: ignore[index]
        return "arrays of labels"
    if joined := _joined_labels(root, arrays):
        return joined
    for name in TABLES:
        if (root / name).is_file() and (rows := _read_table(root / name)) and _has_columns(rows):
            _apply_rows(root / name, rows, arrays)
            return name
    if any(_class_folder(array) for array in arrays):
        return _apply_rule("folder", arrays)
    many = [array for array in arrays if array.count is not None or array.key is not None]
    if len(many) == len(arrays) and not any(re.search(r"\d", array.file_stem) for array in arrays):
        return _apply_rule("file", arrays)
    return ""


def _parallel_labels(root: Path, array: ClipArray, keys: tuple[Key, ...]) -> tuple[np.ndarray, str] | None:
    """Return the labels of a stack that are an array of its file, or a file next to it, and where they are."""
    if array.count is None:
        return None
    path = root / array.path
    for name in (f"{array.key}_labels", *LABEL_ARRAYS):
        if name in keys:
            return read_array(path, name), f"{array.path}: array {name!r}"
    stem = array.file_stem
    names = [f"{stem}_labels", f"{stem}_label", *([f"y{stem[1:]}"] if stem[:1] in "Xx" else [])]
    for name in names:
        sibling = path.with_name(f"{name}.npy")
        if sibling.is_file():
            return read_array(sibling), f"{array.folder}/{name}.npy".lstrip("/")
    return None


def _joined_labels(root: Path, arrays: Sequence[ClipArray]) -> str:
    """Take labels from one array per folder that covers all of its clips in the order of their files."""
    folders: dict[str, list[ClipArray]] = {}
    for array in arrays:
        folders.setdefault(array.folder, []).append(array)
    files = {folder: _label_file(root / folder) for folder in folders}
    if None in files.values():
        return ""
    for folder, own in folders.items():
        _split_labels(own, files[folder])  # type: ignore[arg-type]
    return next(iter(files.values())).name  # type: ignore[union-attr]


def _label_file(folder: Path) -> Path | None:
    return next((path for name in LABEL_ARRAYS if (path := folder / f"{name}.npy").is_file()), None)


def _split_labels(arrays: Sequence[ClipArray], path: Path) -> None:
    total = sum(map(len, arrays))
    values = _checked(read_array(path), total, str(path))
    start = 0
    for array in arrays:
        array.labels = values[start : start + len(array)]
        start += len(array)


def _checked(values: np.ndarray, count: int, where: str) -> list[Label]:
    """Return labels as numbers or texts."""
    if values.ndim == 2 and values.shape[1] > 1 and values.dtype.kind in "fiub":
        values = values.argmax(1)  # one-hot rows
    values = values.reshape(-1) if values.ndim == 2 else values
    if values.dtype.kind == "f" and (values == np.floor(values)).all():
        values = values.astype(np.int64)
    if values.shape != (count,) or values.dtype.kind not in "iuUS" or (values.dtype.kind == "i" and (values < 0).any()):
        raise CorruptRecordError(
            f"{where} is {values.dtype} {values.shape}; expected {pluralize(count, 'label')} from 0, names, or one-hot rows"
        )
    return [v.decode() if isinstance(v, bytes) else v for v in values.tolist()]


def _class_folder(array: ClipArray) -> str:
    """Return the nearest folder that is not a split, or an empty string."""
    folders = [name for name in array.folder.split("/") if name and name.lower() not in SPLIT_NAMES]
    return folders[-1] if folders else ""


def _apply_rule(rule: str, arrays: Sequence[ClipArray]) -> str:
    if rule == "none":
        for array in arrays:
            array.labels = None
        return ""
    name: Callable[[ClipArray], str] = _class_folder if rule == "folder" else lambda array: array.file_stem
    without = [array.path for array in arrays if not name(array)]
    if without:
        raise AnnotationError(
            f"{pluralize(len(without), 'file')} in no folder of a class, e.g. {without[0]!r}; move it to one, or pass "
            "labels (--labels FILE, or --labels none)"
        )
    for array in arrays:
        array.labels = class_name(name(array))
    return f"the names of {rule}s"


def _find_file(root: Path, labels: str | Path) -> Path:
    for path in (root / labels, Path(labels)):
        if path.is_file():
            return path
    raise ConfigError(f"labels={str(labels)!r}: no such file in {root}; expected a csv, json or npy file, or one of {RULES}")


def _apply_file(path: Path, arrays: Sequence[ClipArray]) -> str:
    if path.suffix.lower() == ".npy":
        _split_labels(arrays, path)
        return path.name
    rows = _read_table(path)
    if rows and all(set(row) == {"label"} for row in rows):  # a list of labels
        count = sum(map(len, arrays))
        if len(rows) != count:
            raise AnnotationError(
                f"{path}: {pluralize(len(rows), 'label')} for {pluralize(count, 'clip')}; "
                "add the missing ones, or a column 'file'"
            )
        values = iter([row["label"] for row in rows])
        for array in arrays:
            array.labels = [next(values) for _ in range(len(array))]
        return path.name
    if not _has_columns(rows):
        raise AnnotationError(f"{path}: no columns 'file' and 'label'; it has {sorted(rows[0]) if rows else 'no rows'}")
    _apply_rows(path, rows, arrays)
    return path.name


# ---- tables ----


def _read_table(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a csv file, or of a JSON list or dict from file names to labels, with columns in lower case."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            content = parse_json(text)
        else:
            header = text.partition("\n")[0]
            delimiter = max(",;\t", key=header.count)
            content = list(csv.DictReader(text.splitlines(), delimiter=delimiter))
    except (OSError, ValueError, csv.Error) as error:
        raise AnnotationError(f"{path}: not a readable table of labels ({error}); save it as UTF-8") from error
    if isinstance(content, dict):
        content = [{"file": name, **(row if isinstance(row, dict) else {"label": row})} for name, row in content.items()]
    rows = [row if isinstance(row, dict) else {"label": row} for row in content] if isinstance(content, list) else None
    if rows is None:
        raise AnnotationError(f"{path}: a {type(content).__name__}; expected a list of rows, or a dict from files to labels")
    return [{str(key).strip().lower(): value for key, value in row.items()} for row in rows]


def _has_columns(rows: Sequence[dict]) -> bool:
    return bool(rows) and _column(rows[0], _NAME_COLUMNS) is not None and _column(rows[0], _LABEL_COLUMNS) is not None


def _column(row: dict, names: Sequence[str]) -> str | None:
    return next((name for name in names if name in row), None)


def _apply_rows(path: Path, rows: list[dict], arrays: Sequence[ClipArray]) -> None:
    """Set labels by the names in a table: a path, a name with or without suffix, and the key or index of a clip."""
    name_column, label_column = _column(rows[0], _NAME_COLUMNS), _column(rows[0], _LABEL_COLUMNS)
    by_name: dict[tuple, dict] = {}
    for line, row in enumerate(rows, start=2 if path.suffix.lower() == ".csv" else 1):
        name, label = row.get(name_column), row.get(label_column)  # type: ignore[arg-type]
        if name in (None, "") or label in (None, ""):
            raise AnnotationError(f"{path}, row {line}: no value under {name_column!r} or {label_column!r}; complete it")
        where = strip_suffix(str(name).replace("\\", "/").removeprefix("./")), _part(row)
        if by_name.setdefault(where, row) is not row and by_name[where][label_column] != label:  # type: ignore[index]
            raise AnnotationError(f"{path}, row {line}: {name!r} has another label in an earlier row; remove one of them")
    used: set[tuple] = set()
    missing: list[str] = []
    for array in arrays:
        found = [_find_row(by_name, array, number) for number in range(len(array))]
        if None in found:
            missing.append(array.path)
            continue
        used.update(where for where, _ in found)  # type: ignore[misc]
        own = [row for _, row in found]  # type: ignore[misc]
        array.labels = [_to_label(row[label_column]) for row in own]  # type: ignore[index]
        for key in _COPIED_COLUMNS:
            if key != label_column and len({row.get(key) for row in own}) == 1 and own[0].get(key) not in (None, ""):
                array.constant[key] = own[0][key]
    if missing:
        raise AnnotationError(
            f"{path}: no row for the clips of {pluralize(len(missing), 'file')}, e.g. {missing[0]!r} "
            f"({pluralize(len(by_name) - len(used), 'row')} without a clip); add them, or move the files away"
        )


def _part(row: dict) -> str | None:
    """Return the key or index in a file that a row names, as text."""
    column = _column(row, _INDEX_COLUMNS) or _column(row, _KEY_COLUMNS)
    return None if column is None or row[column] in (None, "") else str(row[column])


def _find_row(by_name: dict[tuple, dict], array: ClipArray, number: int) -> tuple[tuple, dict] | None:
    part = str(number) if array.count is not None else None if array.key is None else str(array.key)
    names = [(array.stem, part), (array.file_stem, part), (array.stem, None), (array.file_stem, None)]
    if part is not None:
        names += [(f"{array.stem}/{part}", None), (part, None)]
    return next(((name, by_name[name]) for name in names if name in by_name), None)


def _to_label(value: Any) -> Label:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise AnnotationError(f"label {value!r}; expected a number or a name")
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else int(value) if str(value).isdecimal() else str(value)


# ---- numbers ----


def _number_labels(arrays: Sequence[ClipArray]) -> dict[str, Any]:
    """Replace names by numbers, and return `classes`, and `signs` if the classes are SignIDs."""
    values = {label for array in arrays for label in _labels_of(array)}
    if not values:
        signs = sorted({array.constant["sign"] for array in arrays if isinstance(array.constant.get("sign"), int)})
        if not signs or any("sign" not in array.constant for array in arrays):
            return {}
        for array in arrays:
            array.labels = signs.index(array.constant["sign"])
        return {"signs": tuple(signs), "classes": tuple(f"{sign:04d}" for sign in signs)}
    if any(array.labels is None for array in arrays):
        first = next(array.path for array in arrays if array.labels is None)
        raise AnnotationError(f"{first!r} has no label, other files have one; give each file one, or pass labels='none'")
    numbers = [value for value in values if isinstance(value, int)]
    if len(numbers) == len(values):
        if min(numbers) < 0:
            raise AnnotationError(f"label {min(numbers)}; labels are numbers from 0, or names")
        return {"classes": class_list(numbers)}
    classes = tuple(sorted(map(str, values)))
    number = {name: i for i, name in enumerate(classes)}
    for array in arrays:
        is_one = isinstance(array.labels, (int, str))
        array.labels = number[str(array.labels)] if is_one else [number[str(v)] for v in _labels_of(array)]
    return {"classes": classes}


def _labels_of(array: ClipArray) -> Sequence[Label]:
    return () if array.labels is None else [array.labels] if isinstance(array.labels, (int, str)) else array.labels
