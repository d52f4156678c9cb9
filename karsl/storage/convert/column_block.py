"""All clips in one array: `X.npy` (N, T, 1662), `y.npy` (N,) labels, clips of one length."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from karsl.errors import ConfigError, CorruptRecordError, DatasetNotFoundError
from karsl.io.annotations import write_data_list
from karsl.io.npy import BROKEN
from karsl.storage.clip_source import Clips, public
from karsl.storage.convert.columns import HOLISTIC
from karsl.storage.convert.job import Job
from karsl.storage.convert.sidecar import SIDECAR, read_sidecar

CLIPS, LABELS = "X.npy", "y.npy"


@dataclass(frozen=True)
class _BlockReader:
    path: Path

    def __call__(self, record: dict) -> np.ndarray:
        rows = _array(self.path, mapped=True)[record["place"]]
        return HOLISTIC.clip_of(np.asarray(rows), where=f"{self.path}: clip {record['place']}")


def open_block(path: Path, **_: Any) -> Clips:
    """Open `X.npy` or the folder it lies in; `y.npy` beside it holds labels, as numbers or one-hot rows.

    Raises:
        DatasetNotFoundError: One of the two files is absent.
        CorruptRecordError: Not an array of clips, or not as many labels as clips.
    """
    path = path / CLIPS if path.is_dir() else path
    block = _array(path, mapped=True)
    if block.ndim != 3 or block.shape[2] != HOLISTIC.num_columns or block.dtype.kind not in "fiu":
        raise CorruptRecordError(
            f"{path} holds {block.dtype} {block.shape}; expected numbers (clips, frames, {HOLISTIC.num_columns})"
        )
    known = read_sidecar(path.parent)
    metainfo, records = known or _numbered(path, block.shape[:2])
    if len(records) != len(block):
        raise CorruptRecordError(f"{path} holds {len(block)} clips, {SIDECAR} lists {len(records)}; convert again")
    return Clips({**metainfo, "skeleton": HOLISTIC.skeleton}, HOLISTIC.points, records, _BlockReader(path))


def _numbered(path: Path, shape: tuple[int, ...]) -> tuple[dict, list[dict]]:
    beside = path.with_name(LABELS)
    labels = _array(beside)
    labels = labels.argmax(1) if labels.ndim == 2 else labels
    if labels.shape != shape[:1] or labels.dtype.kind not in "iu" or (len(labels) and labels.min() < 0):
        raise CorruptRecordError(
            f"{beside} holds {labels.dtype} {labels.shape}; expected {shape[0]} labels from 0, or one-hot rows"
        )
    classes = tuple(f"{k:04d}" for k in range(int(labels.max(initial=-1)) + 1))
    records = [
        {"clip_id": f"{i:06d}", "label": label, "num_frames": shape[1], "file": path.name, "place": i}
        for i, label in enumerate(labels.tolist())
    ]
    return {"dataset_name": path.parent.name, "classes": classes}, records


def _array(path: Path, *, mapped: bool = False) -> np.ndarray:
    if not path.is_file():
        raise DatasetNotFoundError(f"no {str(path)!r}; this form is {CLIPS} (clips, frames, columns) and {LABELS} (labels)")
    try:
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except BROKEN as error:
        raise CorruptRecordError(f"{path}: no readable .npy ({error}); re-export it") from error


def write_block(out: Path, job: Job) -> None:
    """Write the two arrays and the sidecar.

    Raises:
        ConfigError: Clips of different lengths.
    """
    lengths = sorted({r["num_frames"] for r in job.source.records})
    if len(lengths) > 1:
        raise ConfigError(
            f"clips of {lengths[0]} to {lengths[-1]} frames do not fit one array (clips, frames, {HOLISTIC.num_columns}); "
            "use --to holistic, one array a clip"
        )
    records: list[dict] = []
    shape = (len(job.source.records), *lengths, HOLISTIC.num_columns)
    with (out / CLIPS).open("wb") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(stream, header)
        for place, (record, clip) in enumerate(job.clips()):
            if HOLISTIC.lost_scores(clip):
                job.losses.add("score", record["clip_id"], "faces and hands have no column for a score other than 1")
            stream.write(HOLISTIC.rows_of(clip).astype("<f4").tobytes())
            records.append({**public(record), "file": CLIPS, "place": place})
    np.save(out / LABELS, np.array([r["label"] for r in records], dtype=np.int64))
    write_data_list(out / SIDECAR, {**job.metainfo, "skeleton": HOLISTIC.skeleton}, records)
