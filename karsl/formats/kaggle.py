"""Kaggle's ASL-signs (Google, 2023): `train.csv`, one parquet file per clip, 543 rows per frame, NaN for a missing point.

Source: https://www.kaggle.com/competitions/asl-signs/data.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import AnnotationError, CorruptRecordError, pluralize
from karsl.formats.base import ConversionJob, class_list, register_format
from karsl.formats.folders import SIDECAR, Listing, collect_errors, read_sidecar, safe_name
from karsl.formats.parquet import WRITE_OPTIONS, open_parquet_file, read_columns, require_pyarrow
from karsl.io.annotations import join_folder, write_data_list
from karsl.io.missing import STRICT, MissingPoints
from karsl.io.sources import FunctionSource, public_record
from karsl.schema import Count, convert, read_json
from karsl.skeletons import get_skeleton

TABLE, LABELS, FOLDER = "train.csv", "sign_to_prediction_index_map.json", "train_landmark_files"
_TYPES = {"face": "face", "lh": "left_hand", "pose": "pose", "rh": "right_hand"}
_COLUMNS = ("frame", "type", "landmark_index", "x", "y", "z")
_POINTS = 543


def _read_clip(root: Path, rules: MissingPoints, record: dict) -> np.ndarray:
    path = Path(join_folder(root, record["file"]))
    table = read_columns(path, _COLUMNS)
    missing = set(_COLUMNS) - set(table.column_names)
    if missing:
        raise CorruptRecordError(f"{path}: no column {sorted(missing)}; expected columns {_COLUMNS}")
    types = table["type"].combine_chunks().dictionary_encode()
    columns = {name: table[name].to_numpy() for name in _COLUMNS if name != "type"}
    clip = _to_clip(columns, types.dictionary.to_pylist(), types.indices.to_numpy(), where=str(path), rules=rules)
    return rules.clear(clip)


def _to_clip(
    columns: dict[str, np.ndarray], types: list[str], type_index: np.ndarray, *, where: str, rules: MissingPoints
) -> np.ndarray:
    """Convert landmark rows, in any order, to a canonical clip with frames in numeric order."""
    parts = {_TYPES[group]: part for group, part in get_skeleton("kaggle_543").groups.items()}
    unknown = [t for t in types if t not in parts]
    if unknown or not types:
        raise CorruptRecordError(f"{where}: landmarks of types {types}; expected {sorted(parts)}")
    first = np.array([parts[t].start for t in types])[type_index]
    count = np.array([parts[t].stop - parts[t].start for t in types])[type_index]
    frames, frame = np.unique(columns["frame"], return_inverse=True)
    landmark = columns["landmark_index"].astype(np.int64)
    row = frame * _POINTS + first + landmark
    if landmark.min() < 0 or (landmark >= count).any() or np.bincount(row).max() > 1:
        raise CorruptRecordError(f"{where}: a landmark_index is not valid for its type, or is repeated in a frame")
    xyz = np.stack([columns[axis].astype(np.float32) for axis in "xyz"], axis=1)
    present = ~np.isnan(xyz).any(1)
    if rules.nonfinite == "raise" and not np.isfinite(xyz[present]).all():
        raise CorruptRecordError(f"{where}: a coordinate is infinite; export it again")
    clip = np.zeros((len(frames) * _POINTS, 4), np.float32)
    clip[row[present], :3], clip[row[present], 3] = xyz[present], 1
    return clip.reshape(len(frames), _POINTS, 4)


def write_kaggle(out: Path, job: ConversionJob) -> None:
    """Write `train.csv`, the label map, one parquet file per clip, and the sidecar."""
    arrow, records = require_pyarrow(), []
    types, indices = _frame_rows()
    counts = Counter(job.metainfo["classes"])
    with (out / TABLE).open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(("path", "participant_id", "sequence_id", "sign"))
        for sequence, (record, clip) in enumerate(job.clips(), start=1):
            gloss, signer = job.gloss(record), str(record.get("signer", "0"))
            if counts[gloss] > 1:
                job.losses.add("classes", record["clip_id"], f"several are named {gloss!r} and become one sign")
            file = f"{FOLDER}/{safe_name(signer)}/{sequence}.parquet"
            (out / file).parent.mkdir(parents=True, exist_ok=True)
            arrow.parquet.write_table(_landmark_table(arrow, clip, types, indices), out / file, **WRITE_OPTIONS)
            table.writerow((file, signer, sequence, gloss))
            records.append({**public_record(record), "file": file})
    label_of = {str(name): label for label, name in enumerate(job.metainfo["classes"])}
    (out / LABELS).write_text(json.dumps(label_of, ensure_ascii=False), encoding="utf-8")
    write_data_list(out / SIDECAR, {**job.metainfo, "skeleton": "kaggle_543"}, records)


def _frame_rows() -> tuple[list[str], list[int]]:
    """Return type and landmark_index of the 543 rows of a frame."""
    sizes = {_TYPES[group]: part.stop - part.start for group, part in get_skeleton("kaggle_543").groups.items()}
    return [t for t, size in sizes.items() for _ in range(size)], [n for size in sizes.values() for n in range(size)]


def _landmark_table(arrow: Any, clip: np.ndarray, types: list[str], indices: list[int]) -> Any:
    frames = len(clip)
    suffixes = [f"-{t}-{n}" for t, n in zip(types, indices, strict=True)]
    xyz = np.where(clip[..., 3:] > 0, clip[..., :3], np.float32(np.nan)).reshape(-1, 3).astype(np.float64)
    frame_type = arrow.int16() if frames < 1 << 15 else arrow.int32()
    return arrow.table(
        {
            "frame": arrow.array(np.repeat(np.arange(frames), _POINTS), frame_type),
            "row_id": [prefix + suffix for prefix in map(str, range(frames)) for suffix in suffixes],
            "type": arrow.array(types * frames, arrow.string()),
            "landmark_index": arrow.array(np.tile(indices, frames), arrow.int16()),
            **{axis: arrow.array(xyz[:, i], from_pandas=False) for i, axis in enumerate("xyz")},
        }
    )


@register_format(
    "kaggle",
    description="train.csv and one .parquet per clip, as in Kaggle's ASL-signs: 543 rows per frame",
    cannot_store="keypoints outside MediaPipe Holistic's 543; scores",
    detect=lambda path: (path / TABLE).is_file(),
    priority=70,  # before parquet, whose files it contains
    writer=write_kaggle,
    skeleton="kaggle_543",
    supports=frozenset({"z", "mask"}),
    extra="parquet",
)
def open_kaggle(path: Path, *, missing: MissingPoints = STRICT, **_: Any) -> FunctionSource:
    """Open the folder of `train.csv`. Labels come from the label map next to it, else from the alphabetical order of signs.

    Raises:
        AnnotationError: If `train.csv` lacks a column, or a sign has no label.
        MissingExtraError: If pyarrow is not installed.
    """
    require_pyarrow()
    metainfo, records, notes, problems = read_sidecar(path) or _list_clips(path)
    metainfo = {**metainfo, "skeleton": "kaggle_543"}
    reader = partial(_read_clip, path, missing)
    return FunctionSource(metainfo, get_skeleton("kaggle_543"), records, reader, notes, problems=problems)


def _list_clips(path: Path) -> Listing:
    try:
        with (path / TABLE).open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream, restval=""))
    except (UnicodeDecodeError, csv.Error) as error:
        raise AnnotationError(f"{path / TABLE}: not a CSV file in UTF-8 ({error}); export it again") from error
    missing = [c for c in ("path", "participant_id", "sequence_id", "sign") if rows and c not in rows[0]]
    if missing or not rows:
        raise AnnotationError(f"{path / TABLE}: no {'column ' + repr(missing) if missing else 'rows'}; is it ASL-signs?")
    label = _labels(path, sorted({row["sign"] for row in rows}))
    records: list[dict] = []
    problems: list[str] = []
    for row in rows:
        with collect_errors(problems):
            frames = _count_frames(Path(join_folder(path, row["path"])))
            record = {"clip_id": row["sequence_id"], "label": label[row["sign"]], "signer": row["participant_id"]}
            records.append({**record, "num_frames": frames, "file": row["path"]})
    names = {index: name for name, index in label.items()}
    metainfo = {"dataset_name": path.name, "classes": class_list(names, names)}
    return Listing(metainfo, records, problems=tuple(problems))


def _labels(path: Path, signs: list[str]) -> dict[str, int]:
    file = path / LABELS
    if not file.is_file():
        return {name: i for i, name in enumerate(signs)}
    remedy = "it maps each sign to its label"
    content = read_json(file, error=AnnotationError, remedy=remedy)
    labels = convert(content, dict[str, Count], where=file, error=AnnotationError, remedy=remedy)
    unlabelled = sorted(set(signs) - labels.keys())
    if unlabelled:
        raise AnnotationError(f"{file}: no label for sign {unlabelled[0]!r} of {TABLE} (and {len(unlabelled) - 1} more)")
    return labels


def _count_frames(path: Path) -> int:
    """Return the number of frames of a clip, from the number of rows in its footer."""
    rows = open_parquet_file(path).metadata.num_rows
    if not rows or rows % _POINTS:
        raise CorruptRecordError(f"{path}: {pluralize(rows, 'row')}; a frame has {_POINTS}")
    return rows // _POINTS
