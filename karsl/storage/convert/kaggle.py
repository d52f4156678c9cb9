"""Kaggle's ASL-signs (Google, 2023): `train.csv`, a parquet file a clip, 543 rows a frame, NaN where missing.

Source: https://www.kaggle.com/competitions/asl-signs/data.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import AnnotationError, CorruptRecordError, DataErrors
from karsl.skeletons import get_skeleton
from karsl.storage.annotation import write_list
from karsl.storage.clip_source import Clips, public
from karsl.storage.convert.job import Job
from karsl.storage.convert.naming import safe_name
from karsl.storage.convert.parquet import WRITING, library, open_parquet_file, read_columns
from karsl.storage.convert.sidecar import SIDECAR, read_sidecar

TABLE, LABELS, FOLDER = "train.csv", "sign_to_prediction_index_map.json", "train_landmark_files"
_TYPES = {"face": "face", "lh": "left_hand", "pose": "pose", "rh": "right_hand"}
_COLUMNS = ("frame", "type", "landmark_index", "x", "y", "z")
_POINTS = 543


@dataclass(frozen=True)
class _LandmarkReader:
    root: Path

    def __call__(self, record: dict) -> np.ndarray:
        path = self.root / record["file"]
        table = read_columns(path, _COLUMNS)
        absent = set(_COLUMNS) - set(table.column_names)
        if absent:
            raise CorruptRecordError(f"{path}: no column {sorted(absent)}; a file of this form has {_COLUMNS}")
        kinds = table["type"].combine_chunks().dictionary_encode()
        columns = {name: table[name].to_numpy() for name in _COLUMNS if name != "type"}
        return _clip(columns, kinds.dictionary.to_pylist(), kinds.indices.to_numpy(), where=str(path))


def _clip(columns: dict[str, np.ndarray], kinds: list[str], kind: np.ndarray, *, where: str) -> np.ndarray:
    """Rows of landmarks, in any order, as a canonical clip; frames in the order of their numbers."""
    parts = {_TYPES[group]: part for group, part in get_skeleton("kaggle_543").groups.items()}
    unknown = [k for k in kinds if k not in parts]
    if unknown or not kinds:
        raise CorruptRecordError(f"{where}: landmarks of types {kinds}; expected {sorted(parts)}")
    first, count = (np.array([f(parts[k]) for k in kinds])[kind] for f in (lambda p: p.start, lambda p: p.stop - p.start))
    frames, frame = np.unique(columns["frame"], return_inverse=True)
    index = columns["landmark_index"].astype(np.int64)
    place = frame * _POINTS + first + index
    if index.min() < 0 or (index >= count).any() or np.bincount(place).max() > 1:
        raise CorruptRecordError(f"{where}: a landmark has no number of its type, or is there twice in a frame")
    xyz = np.stack([columns[axis].astype(np.float32) for axis in "xyz"], axis=1)
    there = ~np.isnan(xyz).any(1)
    if not np.isfinite(xyz[there]).all():
        raise CorruptRecordError(f"{where}: a coordinate is infinite; export it again")
    clip = np.zeros((len(frames) * _POINTS, 4), np.float32)
    clip[place[there], :3], clip[place[there], 3] = xyz[there], 1
    return clip.reshape(len(frames), _POINTS, 4)


def open_kaggle(path: Path, **_: Any) -> Clips:
    """Open the folder of `train.csv`; labels are those of the index map beside it, else signs in alphabetical order.

    Raises:
        AnnotationError: `train.csv` lacks a column, or a sign has no label.
        DataErrors: Files that are listed and cannot be read, all at once.
        MissingExtraError: pyarrow is not installed.
    """
    library()
    metainfo, records = read_sidecar(path) or _listed(path)
    return Clips({**metainfo, "skeleton": "kaggle_543"}, get_skeleton("kaggle_543"), records, _LandmarkReader(path))


def _listed(path: Path) -> tuple[dict, list[dict]]:
    with (path / TABLE).open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    absent = [c for c in ("path", "participant_id", "sequence_id", "sign") if rows and c not in rows[0]]
    if absent or not rows:
        raise AnnotationError(f"{path / TABLE}: no {'column ' + repr(absent) if absent else 'rows'}; is it ASL-signs?")
    index = path / LABELS
    signs = json.loads(index.read_text(encoding="utf-8")) if index.is_file() else None
    label = {name: i for i, name in enumerate(sorted({row["sign"] for row in rows}))} if signs is None else signs
    strangers = sorted({row["sign"] for row in rows} - label.keys())
    if strangers:
        raise AnnotationError(f"{index}: no label for sign {strangers[0]!r} of {TABLE} (and {len(strangers) - 1} more)")
    records, problems = [], []
    for row in rows:
        try:
            frames = _count_frames(path / row["path"])
        except CorruptRecordError as error:
            problems.append(str(error))
            continue
        facts = {"clip_id": row["sequence_id"], "label": int(label[row["sign"]]), "signer": row["participant_id"]}
        records.append({**facts, "num_frames": frames, "file": row["path"]})
    if problems:
        raise DataErrors(str(path), problems)
    names = {place: name for name, place in label.items()}
    classes = tuple(names.get(k, f"{k:04d}") for k in range(max(names) + 1))
    return {"dataset_name": path.name, "classes": classes}, records


def _count_frames(path: Path) -> int:
    """Frames of a clip, from the number of rows that its footer tells."""
    rows = open_parquet_file(path).metadata.num_rows
    if not rows or rows % _POINTS:
        raise CorruptRecordError(f"{path}: {rows} rows; a frame has {_POINTS}")
    return rows // _POINTS


def write_kaggle(out: Path, job: Job) -> None:
    """`train.csv`, the index map, a parquet file a clip, and the sidecar for what these do not hold."""
    arrow, records = library(), []
    kinds, numbers = _rows_of_a_frame()
    names = Counter(job.metainfo["classes"])
    with (out / TABLE).open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(("path", "participant_id", "sequence_id", "sign"))
        for sequence, (record, clip) in enumerate(job.clips(), start=1):
            if names[job.gloss(record)] > 1:
                job.losses.add("classes", record["clip_id"], f"several are called {job.gloss(record)!r} and become one sign")
            signer = str(record.get("signer", "0"))
            file = f"{FOLDER}/{safe_name(signer)}/{sequence}.parquet"
            (out / file).parent.mkdir(parents=True, exist_ok=True)
            arrow.parquet.write_table(_table(arrow, clip, kinds, numbers), out / file, **WRITING)
            table.writerow((file, signer, sequence, job.gloss(record)))
            records.append({**public(record), "file": file})
    index = {str(name): label for label, name in enumerate(job.metainfo["classes"])}
    (out / LABELS).write_text(json.dumps(index, ensure_ascii=False), encoding="utf-8")
    write_list(out / SIDECAR, {**job.metainfo, "skeleton": "kaggle_543"}, records)


def _rows_of_a_frame() -> tuple[list[str], list[int]]:
    """Type and landmark_index of the 543 rows of a frame."""
    sizes = {_TYPES[group]: part.stop - part.start for group, part in get_skeleton("kaggle_543").groups.items()}
    return [k for k, size in sizes.items() for _ in range(size)], [n for size in sizes.values() for n in range(size)]


def _table(arrow: Any, clip: np.ndarray, kinds: list[str], numbers: list[int]) -> Any:
    frames = len(clip)
    tails = [f"-{k}-{n}" for k, n in zip(kinds, numbers, strict=True)]
    xyz = np.where(clip[..., 3:] > 0, clip[..., :3], np.float32(np.nan)).reshape(-1, 3).astype(np.float64)
    small = arrow.int16() if frames < 1 << 15 else arrow.int32()
    return arrow.table(
        {
            "frame": arrow.array(np.repeat(np.arange(frames), _POINTS), small),
            "row_id": [head + tail for head in map(str, range(frames)) for tail in tails],
            "type": arrow.array(kinds * frames, arrow.string()),
            "landmark_index": arrow.array(np.tile(numbers, frames), arrow.int16()),
            **{axis: arrow.array(xyz[:, i], from_pandas=False) for i, axis in enumerate("xyz")},
        }
    )
