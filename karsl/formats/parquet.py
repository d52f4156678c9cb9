"""Parquet as Hugging Face's `datasets` loads it: one file a split, one row a clip, arrays as bytes with their shape.

| column | type | holds |
| --- | --- | --- |
| `clip_id` `gloss` `gloss_ar` `signer` `split` | string | facts of the clip; null where unknown |
| `label` `sign` `num_frames` | int64 | label from 0, SignID from 1 |
| `fps` | float64 | null where unknown |
| `keypoint` | binary | T x V x 4 numbers, little-endian: x, y, z, score; four zeros where missing |
| `dtype` | string | `float32` or `float16` |
| `shape` | list of int64 | T, V, 4 |

Metainfo, with the names of the points, is the json under the key `karsl` of the file's own metadata.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import AnnotationError, CorruptRecordError, DatasetNotFoundError, missing_extra
from karsl.skeletons import Skeleton, describe_skeleton
from karsl.storage.clip_source import Clips, public
from karsl.storage.convert.job import Job
from karsl.storage.convert.naming import class_folders
from karsl.storage.convert.said import skeleton_of
from karsl.storage.record import canonical_clip, shape_problem

GROUP_CLIPS = 64  # clips of a row group: what is in memory at once
KEPT_GROUPS = 8  # so that a reader in another order, of six signers and splits, say, decodes each group once
WRITING = {"compression": "zstd", "write_page_checksum": True}
_FACTS = ("clip_id", "label", "sign", "signer", "split", "fps", "num_frames")


def library() -> Any:
    """pyarrow with its parquet module, or the one line that says what brings it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise missing_extra("parquet", "pyarrow") from None
    return pyarrow


def open_parquet_file(path: Path) -> Any:
    """A file's reader.

    Raises:
        CorruptRecordError: Not a parquet file.
    """
    arrow = library()
    try:
        return arrow.parquet.ParquetFile(path, memory_map=True, page_checksum_verification=True)
    except (arrow.ArrowException, OSError) as error:
        raise CorruptRecordError(f"{path}: no readable parquet file ({error}); export it again") from error


def read_columns(path: Path, columns: Sequence[str], *, group: int | None = None) -> Any:
    """Some columns of a file or of one of its row groups; columns that are not there are left out.

    Raises:
        CorruptRecordError: Not a parquet file, or damaged: pages that carry a checksum, as ours do, are checked.
    """
    arrow, reader = library(), open_parquet_file(path)
    there = [c for c in columns if c in reader.schema_arrow.names]
    try:
        return reader.read(columns=there) if group is None else reader.read_row_group(group, columns=there)
    except (arrow.ArrowException, OSError) as error:
        raise CorruptRecordError(f"{path}: cannot be read ({error}); export it again") from error


class _RowReader:
    """Reads clips by file, row group and row; keeps the row groups that were read last."""

    def __init__(self, root: Path, num_keypoints: int) -> None:
        self.root, self.num_keypoints = root, num_keypoints
        self._groups: OrderedDict[tuple[str, int], Any] = OrderedDict()

    def __call__(self, record: dict) -> np.ndarray:
        row = self._group(record["file"], record["group"]).slice(record["row"], 1).to_pylist()[0]
        where = f"{record['file']}: clip {record['clip_id']!r}"
        raw = _array(row, where)
        problem = shape_problem(raw.shape, raw.dtype, self.num_keypoints)
        if problem:
            raise CorruptRecordError(f"{where} {problem}; is the skeleton right?")
        if raw.shape[2] == 3 or "dtype" not in row:
            return canonical_clip(raw, where=where)
        clip = raw.astype(np.float32)
        clip[clip[..., 3] <= 0] = 0
        return clip

    def _group(self, file: str, group: int) -> Any:
        key = (file, group)
        if key not in self._groups:
            self._groups[key] = read_columns(self.root / file, ("keypoint", "dtype", "shape"), group=group)
            if len(self._groups) > KEPT_GROUPS:
                self._groups.popitem(last=False)
        return self._groups[key]

    def __reduce__(self) -> tuple:
        return type(self), (self.root, self.num_keypoints)


def _array(row: dict, where: str) -> np.ndarray:
    """The clip of a row: bytes with dtype and shape, or nested lists."""
    value = row["keypoint"]
    try:
        if not isinstance(value, bytes):
            return np.array(value, dtype=np.float32)
        return np.frombuffer(value, np.dtype(row["dtype"]).newbyteorder("<")).reshape(row["shape"])
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptRecordError(f"{where}: keypoint is no array ({error}); export it again") from error


def open_parquet(path: Path, *, skeleton: Skeleton | None = None, **_: Any) -> Clips:
    """Open a file or a folder of files; also those of others with `clip_id`, `label` and nested lists in `keypoint`.

    Raises:
        AnnotationError: A column is missing, or neither the file nor `skeleton` says what the points are.
        DatasetNotFoundError: No `.parquet` in the folder.
        MissingExtraError: pyarrow is not installed.
    """
    library()
    root, files = (path, sorted(path.glob("*.parquet"))) if path.is_dir() else (path.parent, [path])
    if not files:
        raise DatasetNotFoundError(f"no .parquet in {path}; expected files like 'train-00000-of-00001.parquet'")
    records: list[dict] = []
    metainfo: dict = {}
    for file in files:
        reader = open_parquet_file(file)
        metainfo = metainfo or _metainfo(reader)
        records += _records(reader, file)
    points = skeleton_of(metainfo.get("skeleton"), skeleton, where=path)
    metainfo = {"dataset_name": path.stem, "classes": _classes(records), **metainfo, "skeleton": describe_skeleton(points)}
    return Clips(metainfo, points, records, _RowReader(root, points.num_keypoints))


def _metainfo(reader: Any) -> dict:
    stored = (reader.schema_arrow.metadata or {}).get(b"karsl")
    return json.loads(stored) if stored else {}


def _records(reader: Any, file: Path) -> list[dict]:
    there = set(reader.schema_arrow.names)
    absent = {"clip_id", "label", "keypoint"} - there
    if absent:
        raise AnnotationError(f"{file}: no column {sorted(absent)}; it has {sorted(there)}")
    columns = (*_FACTS, "gloss", "shape") if "num_frames" in there else (*_FACTS, "gloss", "shape", "keypoint")
    out = []
    for group in range(reader.num_row_groups):
        rows = read_columns(file, columns, group=group).to_pylist()
        for number, row in enumerate(rows):
            facts = {k: row[k] for k in (*_FACTS, "gloss") if row.get(k) is not None}
            facts.setdefault(
                "num_frames", len(row["shape"]) and row["shape"][0] if row.get("shape") else len(row.get("keypoint", ()))
            )
            out.append({**facts, "file": file.name, "group": group, "row": number})
    return out


def _classes(records: list[dict]) -> tuple[str, ...]:
    names = {r["label"]: r.get("gloss", f"{r['label']:04d}") for r in records}
    return tuple(names.get(label, f"{label:04d}") for label in range(max(names, default=-1) + 1))


def write_parquet(out: Path, job: Job) -> None:
    """One file for each split (`train` for clips of none), in row groups, so that memory stays flat."""
    arrow = library()
    schema = _schema(arrow, {**job.metainfo, "skeleton": describe_skeleton(job.skeleton)})
    splits = sorted({_split(r) for r in job.source.records})
    writers = {
        split: arrow.parquet.ParquetWriter(out / f"{name}-00000-of-00001.parquet", schema, **WRITING)
        for split, name in zip(splits, class_folders(splits), strict=True)
    }
    try:
        for split, rows in _groups(job):
            writers[split].write_table(arrow.Table.from_pylist(rows, schema=schema))
    finally:
        for writer in writers.values():
            writer.close()


def _split(record: dict) -> str:
    return record.get("split") or "train"


def _groups(job: Job) -> Iterator[tuple[str, list[dict]]]:
    """Rows of one split, `GROUP_CLIPS` at a time."""
    rows: list[dict] = []
    last = ""
    for record, clip in job.clips(by=_split):
        split = _split(record)
        if rows and (split != last or len(rows) == GROUP_CLIPS):
            yield last, rows
            rows = []
        last = split
        rows.append(_row(job, record, clip))
    if rows:
        yield last, rows


def _row(job: Job, record: dict, clip: np.ndarray) -> dict:
    arabic: Iterable[str] | None = job.metainfo.get("classes_ar")
    return {
        **public(record),
        "gloss": job.gloss(record),
        "gloss_ar": None if arabic is None else tuple(arabic)[record["label"]],
        "keypoint": clip.astype(clip.dtype.newbyteorder("<"), copy=False).tobytes(),
        "dtype": clip.dtype.name,
        "shape": list(clip.shape),
    }


def _schema(arrow: Any, metainfo: dict) -> Any:
    text, whole = arrow.string(), arrow.int64()
    columns = {
        "clip_id": text,
        "label": whole,
        "sign": whole,
        "gloss": text,
        "gloss_ar": text,
        "signer": text,
        "split": text,
    }
    columns |= {"fps": arrow.float64(), "num_frames": whole, "keypoint": arrow.binary(), "dtype": text}
    columns |= {"shape": arrow.list_(whole)}
    return arrow.schema(list(columns.items()), metadata={"karsl": json.dumps(metainfo, ensure_ascii=False)})
