"""Parquet files that Hugging Face `datasets` loads: one file per split, one row per clip, arrays as bytes with a shape.

| column | type | content |
| --- | --- | --- |
| `clip_id` `gloss` `gloss_ar` `signer` `split` | string | metadata of the clip, null if unknown |
| `label` `sign` `num_frames` | int64 | label from 0, SignID from 1 |
| `fps` | float64 | null if unknown |
| `keypoint` | binary | T x V x 4 numbers, little-endian: x, y, z, score, with four zeros for a missing point |
| `dtype` | string | `float32` or `float16` |
| `shape` | list of int64 | T, V, 4 |

Metainfo, including keypoint names, is stored as json under the key `karsl` of the file's metadata, and the features for
`datasets`, with the names of the classes, under `huggingface`. `README.md` is a dataset card to fill in.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import AnnotationError, CorruptRecordError, missing_extra
from karsl.formats.base import (
    SUPPORTS_ALL,
    ConversionJob,
    class_list,
    file_or_folder_with,
    register_format,
    resolve_skeleton,
)
from karsl.formats.folders import class_folders, class_name, files_with_suffix, number_classes
from karsl.io.annotations import join_splits, parse_splits, record_splits
from karsl.io.clip import canonical_clip, shape_problem
from karsl.io.lru import LRU
from karsl.io.missing import STRICT, MissingPoints
from karsl.io.npz import check_unpacked_size, max_unpacked_size
from karsl.io.sources import FunctionSource, public_record
from karsl.pack.card import CARD, FEATURES, card_text
from karsl.schema import parse_json
from karsl.skeletons import Skeleton, describe_skeleton

ROWS_PER_GROUP = 64  # clips in memory at once
CACHED_GROUPS = 8  # a reader that alternates between signers and splits decodes each group once
WRITE_OPTIONS = {"compression": "zstd", "write_page_checksum": True}
_COLUMNS = {
    "clip_id": "string",
    "label": "int64",
    "sign": "int64",
    "gloss": "string",
    "gloss_ar": "string",
    "signer": "string",
    "split": "string",
    "fps": "float64",
    "num_frames": "int64",
    "keypoint": "binary",
    "dtype": "string",
}
_METADATA = ("clip_id", "label", "sign", "signer", "split", "fps", "num_frames")


def require_pyarrow() -> Any:
    """Import pyarrow with its parquet module.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError:
        raise missing_extra("parquet", "pyarrow") from None
    return pyarrow


def open_parquet_file(path: Path) -> Any:
    """Open a file as `pyarrow.parquet.ParquetFile`.

    Raises:
        CorruptRecordError: If it is not a parquet file.
    """
    arrow = require_pyarrow()
    try:
        return arrow.parquet.ParquetFile(path, memory_map=True, page_checksum_verification=True)
    except (arrow.ArrowException, OSError) as error:
        raise CorruptRecordError(f"{path}: not a readable parquet file ({error}); export it again") from error


def read_columns(path: Path, columns: Sequence[str], *, group: int | None = None, reader: Any = None) -> Any:
    """Read some columns, without those that do not exist, of a file or of one of its row groups.

    Args:
        path: File.
        columns: Names of columns.
        group: Index of a row group. None reads the entire file.
        reader: The file as opened by `open_parquet_file`, to read several groups of it. None opens it.

    Raises:
        CorruptRecordError: If the file is damaged, or columns are larger than `check_unpacked_size` permits. Pages with a
            checksum, such as karsl's, are verified.
    """
    arrow = require_pyarrow()
    if reader is None:
        reader = open_parquet_file(path)
    existing = [c for c in columns if c in reader.schema_arrow.names]
    groups = range(reader.num_row_groups) if group is None else [group]
    _check_sizes(path, existing, reader, groups)
    try:
        return reader.read(columns=existing) if group is None else reader.read_row_group(group, columns=existing)
    except (arrow.ArrowException, OSError) as error:
        raise CorruptRecordError(f"{path}: cannot be read ({error}); export it again") from error


def _check_sizes(path: Path, columns: Sequence[str], reader: Any, groups: Iterable[int]) -> None:
    """Check the sizes of columns before they are unpacked: a few bytes can stand for many equal texts or numbers."""
    arrow = require_pyarrow()
    for group in groups:
        metadata = reader.metadata.row_group(group)
        for number in range(metadata.num_columns):
            column = metadata.column(number)
            name = column.path_in_schema.partition(".")[0]
            if name not in columns:
                continue
            bytes_of_pages = column.total_uncompressed_size
            is_text = column.physical_type == "BYTE_ARRAY"
            try:
                check_unpacked_size(max(bytes_of_pages, 4 * column.num_values))
                if is_text and bytes_of_pages * column.num_values > max_unpacked_size():  # if all were equal
                    check_unpacked_size(_text_bytes(arrow, path, name, group))
            except ValueError as error:
                raise CorruptRecordError(f"{path}: column {name!r} is too large ({error})") from error


def _text_bytes(arrow: Any, path: Path, name: str, group: int) -> int:
    """Return the size of a column of texts or bytes in a row group; equal values are in memory once."""
    try:
        column = arrow.parquet.ParquetFile(path, read_dictionary=[name]).read_row_group(group, columns=[name])[name]
        chunks = column.chunks if arrow.types.is_dictionary(column.type) else []
        lengths = [arrow.compute.binary_length(chunk.dictionary).take(chunk.indices) for chunk in chunks]
        return sum(arrow.compute.sum(length.cast("int64")).as_py() or 0 for length in lengths)
    except (arrow.ArrowException, OSError) as error:
        raise CorruptRecordError(f"{path}: cannot be read ({error}); export it again") from error


def _read_clip(root: Path, num_keypoints: int, cache: LRU, missing: MissingPoints, record: dict) -> np.ndarray:
    """Read a clip by file, row group and row; the row groups are cached."""
    file, group, columns = record["file"], record["group"], ("keypoint", "dtype", "shape")
    rows = cache.get_or_load((file, group), lambda: read_columns(root / file, columns, group=group))
    row, where = rows.slice(record["row"], 1).to_pylist()[0], f"{file}: clip {record['clip_id']!r}"
    raw = _to_array(row, where)
    problem = shape_problem(raw.shape, raw.dtype, num_keypoints)
    if problem:
        raise CorruptRecordError(f"{where} {problem}; is the skeleton right?")
    raw = missing.clear(raw)
    if raw.shape[2] == 3 or "dtype" not in row:
        return canonical_clip(raw, where=where)
    clip = raw.astype(np.float32)
    clip[~(clip[..., 3] > 0)] = 0
    return clip


def _to_array(row: dict, where: str) -> np.ndarray:
    """Return the array of a row: bytes with dtype and shape, or nested lists."""
    value = row["keypoint"]
    try:
        if not isinstance(value, bytes):
            return np.array(value, dtype=np.float32)
        return np.frombuffer(value, np.dtype(row["dtype"]).newbyteorder("<")).reshape(row["shape"])
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptRecordError(f"{where}: keypoint is not an array ({error}); export it again") from error


def write_parquet(out: Path, job: ConversionJob) -> None:
    """Write one file per split (`train` for clips without one; of several, the first), in row groups, and the card."""
    arrow = require_pyarrow()
    metainfo = {**job.metainfo, "skeleton": describe_skeleton(job.skeleton)}
    schema = _schema(arrow, metainfo)
    splits = sorted({_split(r) for r in job.source.records})
    files = dict(zip(splits, (f"{name}-00000-of-00001.parquet" for name in class_folders(splits)), strict=True))
    writers = {split: arrow.parquet.ParquetWriter(out / name, schema, **WRITE_OPTIONS) for split, name in files.items()}
    try:
        for split, rows in _row_groups(job):
            writers[split].write_table(arrow.Table.from_pylist(rows, schema=schema))
    finally:
        for writer in writers.values():
            writer.close()
    (out / CARD).write_text(_card(job, metainfo, files), encoding="utf-8")


def _card(job: ConversionJob, metainfo: dict, files: dict[str, str]) -> str:
    parts = [{"split": re.sub(r"\W", "_", split), "path": name} for split, name in files.items()]
    features = {
        **FEATURES,
        "gloss": "name of the class",
        "gloss_ar": "Arabic name of the class",
        "keypoint": "bytes of the array, see `dtype` and `shape`: x, y, z, score; score 0 is a missing point",
        "dtype": f"`{job.dtype.name}`, little-endian",
        "shape": f"frames, {job.skeleton.num_keypoints}, 4",
    }
    use = "\n".join(
        [
            "import numpy as np",
            "from datasets import load_dataset",
            "",
            f'clip = load_dataset("path of this folder", split="{parts[0]["split"]}")[0]',
            'keypoint = np.frombuffer(clip["keypoint"], clip["dtype"]).reshape(clip["shape"])',
        ]
    )
    head = {"configs": [{"config_name": "default", "data_files": parts}]}
    return card_text("clips", metainfo, job.source.records, features=features, use=use, head=head)


def _split(record: dict) -> str:
    return next(iter(record_splits(record)), "train")


def _row_groups(job: ConversionJob) -> Iterator[tuple[str, list[dict]]]:
    """Yield a split and up to `ROWS_PER_GROUP` rows of it."""
    rows: list[dict] = []
    last = ""
    for record, clip in job.clips(key=_split):
        split = _split(record)
        if rows and (split != last or len(rows) == ROWS_PER_GROUP):
            yield last, rows
            rows = []
        last = split
        rows.append(_row(job, record, clip))
    if rows:
        yield last, rows


def _row(job: ConversionJob, record: dict, clip: np.ndarray) -> dict:
    arabic: Sequence[str] | None = job.metainfo.get("classes_ar")
    if isinstance(record.get("sign"), str):
        job.losses.add("sign", record["clip_id"], "a sign that is a name is not stored, its class is")
        record = {**record, "sign": None}
    return {
        **public_record(record),
        "split": join_splits(record) or None,
        "gloss": job.gloss(record),
        "gloss_ar": None if arabic is None else arabic[record["label"]],
        "keypoint": clip.astype(clip.dtype.newbyteorder("<"), copy=False).tobytes(),
        "dtype": clip.dtype.name,
        "shape": list(clip.shape),
    }


def _schema(arrow: Any, metainfo: dict) -> Any:
    types = {"string": arrow.string(), "int64": arrow.int64(), "float64": arrow.float64(), "binary": arrow.binary()}
    fields = [(name, types[kind]) for name, kind in _COLUMNS.items()] + [("shape", arrow.list_(arrow.int64()))]
    stored = {"karsl": metainfo, "huggingface": {"info": {"features": _features(metainfo["classes"])}}}
    return arrow.schema(fields, metadata={key: json.dumps(value, ensure_ascii=False) for key, value in stored.items()})


def _features(classes: Sequence[str]) -> dict:
    """Return the features of the columns as Hugging Face `datasets` stores them, with the names of the classes."""
    features: dict[str, Any] = {name: {"dtype": kind, "_type": "Value"} for name, kind in _COLUMNS.items()}
    counts = Counter(map(str, classes))
    names = [f"{name} {label}" if counts[str(name)] > 1 else str(name) for label, name in enumerate(classes)]
    if len(set(names)) == len(names):  # ClassLabel rejects equal names
        features["label"] = {"names": names, "_type": "ClassLabel"}
    return {**features, "shape": [{"dtype": "int64", "_type": "Value"}]}


@register_format(
    "parquet",
    description="<split>-00000-of-00001.parquet, one row per clip; Hugging Face datasets load it",
    cannot_store="nothing",
    detect=file_or_folder_with(".parquet"),
    priority=80,
    writer=write_parquet,
    supports=SUPPORTS_ALL,
    supports_half=True,
    extra="parquet",
)
def open_parquet(
    path: Path, *, skeleton: Skeleton | None = None, missing: MissingPoints = STRICT, **_: Any
) -> FunctionSource:
    """Open a file or a folder of files, of karsl or with columns `clip_id`, `label` and nested lists in `keypoint`.

    Labels are numbers, whose names are those of a Hugging Face `ClassLabel` or in `gloss`, or texts, which become the
    classes in alphabetical order.

    Raises:
        AnnotationError: If a column is missing, or neither the file nor `skeleton` names the skeleton.
        DatasetNotFoundError: If the folder has no `.parquet` file.
        MissingExtraError: If pyarrow is not installed.
    """
    require_pyarrow()
    root, files, notes = files_with_suffix(
        path, ".parquet", expected="files like 'train-00000-of-00001.parquet'", also=(CARD,)
    )
    records: list[dict] = []
    problems: list[str] = []
    metainfo: dict = {}
    for file in files:
        stored = open_parquet_file(file)
        metainfo = metainfo or _metainfo(stored, file)
        records += _records(stored, file, problems)
    points = resolve_skeleton(metainfo.get("skeleton"), skeleton, where=path)
    metainfo = {"dataset_name": path.stem, "classes": _number_labels(records, path), **metainfo}
    metainfo["skeleton"] = describe_skeleton(points)
    reader = partial(_read_clip, root, points.num_keypoints, LRU(CACHED_GROUPS), missing)
    return FunctionSource(metainfo, points, records, reader, notes, problems=tuple(problems))


def _number_labels(records: list[dict], path: Path) -> tuple[str, ...]:
    """Replace labels that are texts by numbers, in place, and return the classes."""
    texts = [class_name(r["label"]) for r in records if isinstance(r["label"], str)]
    if not texts:
        return class_list((r["label"] for r in records), {r["label"]: r["gloss"] for r in records if "gloss" in r})
    if len(texts) < len(records):
        raise AnnotationError(f"{path}: some files have labels as texts and others as numbers; write them in one way")
    label = number_classes(texts)
    for record, text in zip(records, texts, strict=True):
        record["label"] = label[text]
    return tuple(label)


def _metainfo(reader: Any, file: Path) -> dict:
    """Return the metainfo that karsl stored, or the names of classes that Hugging Face `datasets` stored."""
    stored = reader.schema_arrow.metadata or {}
    try:
        metainfo = parse_json(stored.get(b"karsl", b"{}"))
        if not isinstance(metainfo, dict):
            raise ValueError(f"a {type(metainfo).__name__}")
    except ValueError as error:
        raise AnnotationError(f"{file}: its metadata 'karsl' is not a JSON object ({error}); export it again") from error
    with suppress(ValueError, LookupError, TypeError):  # other tools may store other things there
        names = parse_json(stored[b"huggingface"])["info"]["features"]["label"]["names"]
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            metainfo.setdefault("classes", tuple(names))
    return metainfo


def _records(reader: Any, file: Path, problems: list[str]) -> list[dict]:
    existing = set(reader.schema_arrow.names)
    missing = {"clip_id", "label", "keypoint"} - existing
    if missing:
        raise AnnotationError(f"{file}: no column {sorted(missing)}; it has {sorted(existing)}")
    columns = (*_METADATA, "gloss", "shape", *(() if "num_frames" in existing else ("keypoint",)))
    records = []
    for group in range(reader.num_row_groups):
        for number, row in enumerate(read_columns(file, columns, group=group, reader=reader).to_pylist()):
            record = {k: row[k] for k in (*_METADATA, "gloss") if row.get(k) is not None}
            if isinstance(record.get("split"), str):
                record["split"] = parse_splits(record["split"])
            if "num_frames" not in record:
                record["num_frames"] = row["shape"][0] if row.get("shape") else len(row.get("keypoint") or ())
            if isinstance(record.get("label"), float) and record["label"].is_integer():
                record["label"] = int(record["label"])  # pandas stores integers next to an empty cell as floats
            problem = _problem(record)
            if problem:
                problems.append(f"{file.name}: row {number} of row group {group} {problem}")
                continue
            located = {"clip_id": str(record["clip_id"]), "file": file.name, "group": group, "row": number}
            records.append({**record, **located})
    return records


def _problem(record: dict) -> str | None:
    """Return why a row is not a clip, or None."""
    label, frames = record.get("label"), record["num_frames"]
    if "clip_id" not in record or label is None:
        return f"has no {'label' if 'clip_id' in record else 'clip_id'}"
    if not isinstance(label, str) and (not isinstance(label, int) or isinstance(label, bool) or label < 0):
        return f"has label {label!r}; expected a text or an integer from 0"
    if not isinstance(frames, int) or frames < 1:
        return f"has {frames!r} frames"
    return None
