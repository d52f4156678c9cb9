"""SPOTER's CSV: a row a clip, a column for each landmark and axis, each cell the list of its values over the frames.

Columns are `nose_X`, `nose_Y`, ..., `wrist_0_X` of the left and `wrist_1_X` of the right hand; `labels` counts from 0. Our
files also have `clip_id`, `gloss`, `gloss_ar`, `sign`, `signer` and `split`, which SPOTER passes by.

Source: https://github.com/matyasbohacek/spoter, datasets/czech_slr_dataset.py and the identifiers of its normalization.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import AnnotationError, CorruptRecordError, DataErrors
from karsl.skeletons import get_skeleton
from karsl.storage.clip_source import Clips
from karsl.storage.convert.job import Job

_FACTS = ("clip_id", "gloss", "gloss_ar", "sign", "signer", "split")
_LARGEST_CELL = 1 << 26  # csv refuses cells above 128 KiB by default; a landmark of a long clip takes more
_DIGITS = 9  # of which the same float32 is read again


def landmark(name: str) -> str:
    """SPOTER's identifier of one of our points.

    Example:
        >>> landmark("left_wrist"), landmark("right_hand_pinky_mcp"), landmark("left_hand_thumb_mcp"), landmark("neck")
        ('leftWrist', 'littleMCP_1', 'thumbMP_0', 'neck')
    """
    side, of_hand, point = name.partition("_hand_")
    if not of_hand:
        return re.sub(r"_(\w)", lambda m: m[1].upper(), name)
    finger, _, joint = point.partition("_")
    joint = "MP" if finger == "thumb" and joint == "mcp" else joint.title() if joint == "tip" else joint.upper()
    return f"{'little' if finger == 'pinky' else finger}{joint}_{'01'[side == 'right']}"


def _columns() -> list[str]:
    return [f"{landmark(name)}_{axis}" for name in get_skeleton("spoter_54").names for axis in "XY"]


def _common(column: str) -> str:
    """A column's name with the numbers of hands that SPOTER's own loader gives them."""
    return re.sub(r"_right_", "_1_", re.sub(r"_left_", "_0_", column, flags=re.IGNORECASE), flags=re.IGNORECASE)


@dataclass(frozen=True)
class _LineReader:
    path: Path
    header: tuple[str, ...]

    def __call__(self, record: dict) -> np.ndarray:
        with self.path.open("rb") as stream:
            stream.seek(record["byte"])
            line = stream.read(record["bytes"]).decode("utf-8")
        return clip_of(_row(line, self.header), where=f"{self.path}: row {record['row']}")


def clip_of(row: dict[str, str], *, where: str) -> np.ndarray:
    """The canonical clip of a row; a point at (0, 0) is missing, `neck` may have no column.

    Raises:
        CorruptRecordError: A cell is no list of numbers, or lists differ in length.
    """
    names = get_skeleton("spoter_54").names
    values: dict[str, list] = {}
    for column in _columns():
        if column in row:
            values[column] = _numbers(row[column], f"{where}, column {column}")
    lengths = sorted({len(v) for v in values.values()})
    if len(lengths) != 1 or not lengths[0]:
        raise CorruptRecordError(f"{where}: landmarks have {lengths} frames; every cell lists one value a frame")
    clip = np.zeros((lengths[0], len(names), 4), np.float32)
    for place, name in enumerate(names):
        for axis, letter in enumerate("XY"):
            clip[:, place, axis] = values.get(f"{landmark(name)}_{letter}", 0)
    if not np.isfinite(clip).all():
        raise CorruptRecordError(f"{where}: a coordinate is not finite; export it again")
    clip[..., 3] = (clip[..., :2] != 0).any(-1)
    return clip


def _numbers(cell: str, where: str) -> list:
    try:
        values = json.loads(cell)
    except ValueError as error:
        raise CorruptRecordError(f"{where}: {cell[:30]!r} is not a list of numbers ({error})") from error
    if not isinstance(values, list) or not all(isinstance(v, (int, float)) for v in values):
        raise CorruptRecordError(f"{where}: {cell[:30]!r} is not a list of numbers")
    return values


def open_spoter(path: Path, **_: Any) -> Clips:
    """Open a CSV file; rows are read one by one, from where they lie in it.

    Raises:
        AnnotationError: A column is missing.
        DataErrors: Rows with other cells than the header, all at once.
    """
    lines = _lines(path)
    names = tuple(_common(c) for c in _cells(next(lines, ("", 0, 0))[0]))
    absent = [c for c in ("labels", *_columns()) if c not in names and not c.startswith("neck_")]
    if absent:
        raise AnnotationError(f"{path}: no column {absent[0]!r} (and {len(absent) - 1} more); is it SPOTER's form?")
    records: list[dict] = []
    problems: list[str] = []
    glosses: dict[int, tuple[str, str, int | None]] = {}
    for number, (line, byte, size) in enumerate(lines, start=1):
        row = _row(line, names)
        if len(_cells(line)) != len(names) or not (row.get("labels") or "").strip().isdecimal():
            problems.append(f"row {number} has {len(_cells(line))} cells of {len(names)}, labels {row.get('labels')!r}")
            continue
        record = _record(row, path.stem, number) | {"row": number, "byte": byte, "bytes": size}
        glosses[record["label"]] = (
            row.get("gloss") or f"{record['label']:04d}",
            row.get("gloss_ar") or "",
            record.get("sign"),
        )
        records.append(record)
    if problems or not records:
        raise DataErrors(str(path), problems or ["the file has no rows"])
    skeleton = get_skeleton("spoter_54")
    return Clips(_metainfo(path, glosses), skeleton, records, _LineReader(path, names))


def _record(row: dict[str, str], stem: str, number: int) -> dict:
    record: dict = {"clip_id": row.get("clip_id") or f"{stem}/{number:06d}", "label": int(row["labels"])}
    record |= {"num_frames": row["leftEar_X"].count(",") + 1}
    record |= {key: row[key] for key in ("signer", "split") if row.get(key)}
    return record | ({"sign": int(row["sign"])} if row.get("sign") else {})


def _metainfo(path: Path, glosses: dict[int, tuple[str, str, int | None]]) -> dict:
    rows = [glosses.get(label, (f"{label:04d}", "", None)) for label in range(max(glosses) + 1)]
    metainfo: dict = {
        "dataset_name": path.stem,
        "skeleton": "spoter_54",
        "classes": tuple(english for english, _, _ in rows),
    }
    if any(arabic for _, arabic, _ in rows):
        metainfo["classes_ar"] = tuple(arabic for _, arabic, _ in rows)
    if all(sign is not None for _, _, sign in rows):
        metainfo["signs"] = tuple(sign for _, _, sign in rows)
    return metainfo


def _lines(path: Path) -> Iterator[tuple[str, int, int]]:
    """Each line with the byte it begins at and its size; a byte-order mark is left out."""
    with path.open("rb") as stream:
        start = 3 if stream.read(3) == b"\xef\xbb\xbf" else 0
        stream.seek(start)
        for raw in stream:
            if raw.strip():
                yield raw.decode("utf-8"), start, len(raw)
            start += len(raw)


def _cells(line: str) -> list[str]:
    csv.field_size_limit(_LARGEST_CELL)
    return next(csv.reader([line]), [])


def _row(line: str, names: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(names, _cells(line), strict=False))


def write_spoter(out: Path, job: Job) -> None:
    """One row for each clip; x and y as they are in the picture, y downwards, (0, 0) where missing."""
    columns = _columns()
    arabic = job.metainfo.get("classes_ar")
    with out.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(("labels", *_FACTS, *columns))
        for record, clip in job.clips():
            facts = {**record, "gloss": job.gloss(record), "gloss_ar": arabic[record["label"]] if arabic else ""}
            xy = clip[..., :2].reshape(len(clip), -1).T
            cells = ["[" + ", ".join([f"{v:.{_DIGITS}g}" for v in values]) + "]" for values in xy.tolist()]
            rows.writerow((record["label"], *(facts.get(key, "") for key in _FACTS), *cells))
