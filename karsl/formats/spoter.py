"""SPOTER's CSV: one row per clip, one column per landmark and axis, whose cells list the values of all frames.

Columns are `nose_X`, `nose_Y`, ..., `wrist_0_X` of the left and `wrist_1_X` of the right hand. `labels` starts at 0. Files
of karsl also have `clip_id`, `gloss`, `gloss_ar`, `sign`, `signer` and `split`, which SPOTER ignores.

Source: https://github.com/matyasbohacek/spoter, datasets/czech_slr_dataset.py and the identifiers of its normalization.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import AnnotationError, CorruptRecordError, DataErrors
from karsl.formats.base import ConversionJob, class_list, file_with_suffix, register_format
from karsl.io.annotations import join_splits, parse_splits
from karsl.io.missing import STRICT, MissingPoints
from karsl.io.sources import FunctionSource
from karsl.schema import parse_json, whole_number
from karsl.skeletons import get_skeleton

_METADATA = ("clip_id", "gloss", "gloss_ar", "sign", "signer", "split")
_MAX_CELL_BYTES = 1 << 26  # csv rejects cells above 128 KiB by default; landmarks of a long clip need more
_DIGITS = 9  # enough to restore the same float32


def landmark(name: str) -> str:
    """Return SPOTER's identifier of a keypoint.

    Example:
        >>> landmark("left_wrist"), landmark("right_hand_pinky_mcp"), landmark("left_hand_thumb_mcp"), landmark("neck")
        ('leftWrist', 'littleMCP_1', 'thumbMP_0', 'neck')
    """
    side, is_hand, point = name.partition("_hand_")
    if not is_hand:
        return re.sub(r"_(\w)", lambda m: m[1].upper(), name)
    finger, _, joint = point.partition("_")
    joint = "MP" if finger == "thumb" and joint == "mcp" else joint.title() if joint == "tip" else joint.upper()
    return f"{'little' if finger == 'pinky' else finger}{joint}_{'01'[side == 'right']}"


def _columns() -> list[str]:
    return [f"{landmark(name)}_{axis}" for name in get_skeleton("spoter_54").names for axis in "XY"]


def _normalize_column(column: str) -> str:
    """Replace the side of a hand by its number, as SPOTER's loader does."""
    return re.sub(r"_right_", "_1_", re.sub(r"_left_", "_0_", column, flags=re.IGNORECASE), flags=re.IGNORECASE)


def _read_clip(path: Path, header: tuple[str, ...], missing: MissingPoints, record: dict) -> np.ndarray:
    where = f"{path}: row {record['row']}"
    with path.open("rb") as stream:
        stream.seek(record["byte"])
        try:
            cells = next(_csv_rows([stream.read(record["bytes"]).decode("utf-8")]), [])
        except (ValueError, csv.Error) as error:
            raise CorruptRecordError(f"{where}: was the file changed after it was listed? ({error})") from error
    return to_clip(dict(zip(header, cells, strict=False)), where=where, missing=missing)


def to_clip(row: dict[str, str], *, where: str, missing: MissingPoints = STRICT) -> np.ndarray:
    """Convert a row to a canonical clip, float32 (T, 54, 4). A point at (0, 0) is missing. `neck` columns are optional.

    Raises:
        CorruptRecordError: If a cell is not a list of finite numbers, or lists differ in length.
    """
    names = get_skeleton("spoter_54").names
    values = {c: _parse_numbers(row[c], f"{where}, column {c}") for c in _columns() if c in row}
    lengths = sorted({len(v) for v in values.values()})
    if len(lengths) != 1 or not lengths[0]:
        raise CorruptRecordError(f"{where}: landmarks have {lengths} frames; every cell must list one value per frame")
    clip = np.zeros((lengths[0], len(names), 4), np.float32)
    for index, name in enumerate(names):
        for axis, letter in enumerate("XY"):
            clip[:, index, axis] = values.get(f"{landmark(name)}_{letter}", 0)
    clip = missing.clear(clip)
    if not np.isfinite(clip).all():
        raise CorruptRecordError(f"{where}: a coordinate is not finite; export it again")
    clip[..., 3] = (clip[..., :2] != 0).any(-1)
    return clip


def _parse_numbers(cell: str, where: str) -> list:
    try:
        values = parse_json(cell)
    except ValueError as error:
        raise CorruptRecordError(f"{where}: {cell[:30]!r} is not a list of numbers ({error})") from error
    if not isinstance(values, list) or not all(isinstance(v, (int, float)) for v in values):
        raise CorruptRecordError(f"{where}: {cell[:30]!r} is not a list of numbers")
    return values


def write_spoter(out: Path, job: ConversionJob) -> None:
    """Write one row per clip: x and y in image coordinates, y downwards, (0, 0) for a missing point."""
    columns = _columns()
    arabic = job.metainfo.get("classes_ar")
    with out.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(("labels", *_METADATA, *columns))
        for record, clip in job.clips():
            metadata = {
                **record,
                "split": join_splits(record),
                "gloss": job.gloss(record),
                "gloss_ar": arabic[record["label"]] if arabic else "",
            }
            xy = clip[..., :2].reshape(len(clip), -1).T
            cells = ["[" + ", ".join([f"{v:.{_DIGITS}g}" for v in values]) + "]" for values in xy.tolist()]
            rows.writerow((record["label"], *(metadata.get(key, "") for key in _METADATA), *cells))


@register_format(
    "spoter",
    description="SPOTER's CSV: one row per clip, 54 points, x and y",
    cannot_store="keypoints outside SPOTER's 54; z; scores",
    detect=file_with_suffix(".csv"),
    priority=140,
    writer=write_spoter,
    is_file=True,
    skeleton="spoter_54",
    supports=frozenset(),
)
def open_spoter(path: Path, *, missing: MissingPoints = STRICT, **_: Any) -> FunctionSource:
    """Open a CSV file. Rows are read on demand, by their byte offset. Cells may contain line breaks if they are quoted.

    Raises:
        AnnotationError: If a column is missing, or the file is not a CSV file in UTF-8.
        DataErrors: If there is no valid row.
    """
    rows = _read_rows(path)
    header = tuple(_normalize_column(c) for c in next(rows, ([], 0, 0))[0])
    absent = [c for c in ("labels", *_columns()) if c not in header and not c.startswith("neck_")]
    if absent:
        raise AnnotationError(f"{path}: no column {absent[0]!r} (and {len(absent) - 1} more); is it a file of SPOTER?")
    records: list[dict] = []
    problems: list[str] = []
    glosses: dict[int, tuple[str, str, int | None]] = {}
    for number, (cells, byte, size) in enumerate(rows, start=1):
        row = dict(zip(header, cells, strict=False))
        problem = _problem(row, cells, header)
        if problem:
            problems.append(f"row {number} has {problem}")
            continue
        record = _record(row, path.stem, number) | {"row": number, "byte": byte, "bytes": size}
        label = record["label"]
        glosses[label] = (row.get("gloss") or f"{label:04d}", row.get("gloss_ar") or "", record.get("sign"))
        records.append(record)
    if not records:
        raise DataErrors(str(path), problems or ["the file has no rows"])
    reader = partial(_read_clip, path, header, missing)
    return FunctionSource(_metainfo(path, glosses), get_skeleton("spoter_54"), records, reader, problems=tuple(problems))


def _problem(row: dict[str, str], cells: list[str], header: tuple[str, ...]) -> str | None:
    """Return why a row is not a clip, or None."""
    label = whole_number(row.get("labels"))
    if len(cells) != len(header) or label is None or label < 0:
        return f"{len(cells)} cells of {len(header)}, labels {row.get('labels')!r}"
    sign = row.get("sign") or "1"
    return None if whole_number(sign) is not None else f"sign {sign!r}; expected a SignID or nothing"


def _record(row: dict[str, str], stem: str, number: int) -> dict:
    record: dict = {"clip_id": row.get("clip_id") or f"{stem}/{number:06d}", "label": whole_number(row["labels"])}
    record |= {"num_frames": row["leftEar_X"].count(",") + 1}
    record |= {"signer": row["signer"]} if row.get("signer") else {}
    record |= {"split": parse_splits(row["split"])} if row.get("split") else {}
    return record | ({"sign": whole_number(row["sign"])} if row.get("sign") else {})


def _metainfo(path: Path, glosses: dict[int, tuple[str, str, int | None]]) -> dict:
    english = class_list(glosses, {label: gloss for label, (gloss, _, _) in glosses.items()})
    rows = [glosses.get(label, ("", "", None)) for label in range(len(english))]
    _, arabic, signs = zip(*rows, strict=True)
    metainfo: dict = {"dataset_name": path.stem, "skeleton": "spoter_54", "classes": english}
    if any(arabic):
        metainfo["classes_ar"] = arabic
    if all(sign is not None for sign in signs):
        metainfo["signs"] = signs
    return metainfo


def _read_rows(path: Path) -> Iterator[tuple[list[str], int, int]]:
    """Yield the cells of each row that is not empty, with its byte offset and size, without a byte-order mark.

    Raises:
        AnnotationError: If the file is not a CSV file in UTF-8.
    """
    with path.open("rb") as stream:
        start = 3 if stream.read(3) == b"\xef\xbb\xbf" else 0
        stream.seek(start)
        sizes: list[int] = []  # of the lines that the parser has read: those of one row when it returns the row

        def lines() -> Iterator[str]:
            for raw in stream:
                sizes.append(len(raw))
                yield raw.decode("utf-8")

        try:
            for cells in _csv_rows(lines()):
                size = sum(sizes)
                if any(cell.strip() for cell in cells):
                    yield cells, start, size
                start += size
                sizes.clear()
        except (UnicodeDecodeError, csv.Error) as error:
            raise AnnotationError(f"{path}: not a CSV file in UTF-8, at byte {start} ({error}); export it again") from error


def _csv_rows(lines: Iterable[str]) -> Iterator[list[str]]:
    csv.field_size_limit(_MAX_CELL_BYTES)
    return csv.reader(lines)
