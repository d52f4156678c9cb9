"""One `.npy` a frame, `<class>/<clip>/<frame>.npy` of 1662 columns, frames in the order of their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import CorruptRecordError, DataErrors, DatasetNotFoundError
from karsl.storage.annotation import write_list
from karsl.storage.clip_source import Clips, public
from karsl.storage.convert.columns import HOLISTIC
from karsl.storage.convert.job import Job
from karsl.storage.convert.naming import FreshNames, class_folders
from karsl.storage.convert.sidecar import SIDECAR, read_sidecar
from karsl.storage.npy import BROKEN


@dataclass(frozen=True)
class _FrameReader:
    root: Path

    def __call__(self, record: dict) -> np.ndarray:
        folder = self.root / record["file"]
        frames = [_frame(path) for path in frame_files(folder)]
        if not frames:
            raise CorruptRecordError(f"{folder}: no frame is left; was the folder changed after it was listed?")
        return HOLISTIC.clip_of(np.stack(frames), where=f"{record['file']}: the clip")


def frame_files(folder: Path) -> list[Path]:
    """The frames of a clip in the order of their numbers: 9.npy before 10.npy.

    Raises:
        CorruptRecordError: A file that is not named by a number, two of one number, or a number that is skipped.
    """
    files = [p for p in folder.glob("*.npy") if not p.name.startswith(".")]
    odd = sorted(p.name for p in files if not p.stem.isdecimal())
    if odd:
        raise CorruptRecordError(f"{folder}: {odd[0]!r} is not named by the number of a frame; rename or remove it")
    numbered = sorted((int(p.stem), p.name) for p in files)
    numbers = [number for number, _ in numbered]
    gaps = [b for a, b in zip(numbers, numbers[1:], strict=False) if b != a + 1]
    if gaps:
        raise CorruptRecordError(
            f"{folder}: frame {gaps[0]} does not follow the one before it; is a frame lost or there twice?"
        )
    return [folder / name for _, name in numbered]


def _frame(path: Path) -> np.ndarray:
    try:
        row = np.load(path, allow_pickle=False)
    except BROKEN as error:
        raise CorruptRecordError(f"{path}: no readable .npy ({error}); re-export it") from error
    if row.shape != (HOLISTIC.num_columns,):
        raise CorruptRecordError(f"{path}: shape {row.shape}; a frame is ({HOLISTIC.num_columns},)")
    return row


def open_frames(path: Path, **_: Any) -> Clips:
    """List the clips of a folder of classes.

    Raises:
        DatasetNotFoundError: No `<class>/<clip>/<frame>.npy` below the folder.
        DataErrors: Frames that are badly named, all at once.
    """
    metainfo, records = read_sidecar(path) or _scan(path)
    return Clips({**metainfo, "skeleton": HOLISTIC.skeleton}, HOLISTIC.points, records, _FrameReader(path))


def _scan(path: Path) -> tuple[dict, list[dict]]:
    folders = sorted({frame.parent for frame in path.glob("*/*/*.npy")}, key=lambda p: (p.parent.name, _by_number(p.name)))
    if not folders:
        raise DatasetNotFoundError(f"no frames in {path}; expected files like 'hello/0/0.npy': class, clip, frame")
    classes = tuple(sorted({folder.parent.name for folder in folders}))
    label, records, problems = {name: i for i, name in enumerate(classes)}, [], []
    for folder in folders:
        clip = folder.relative_to(path).as_posix()
        try:
            frames = frame_files(folder)
        except CorruptRecordError as error:
            problems.append(str(error))
            continue
        records.append({"clip_id": clip, "label": label[folder.parent.name], "num_frames": len(frames), "file": clip})
    if problems:
        raise DataErrors(str(path), problems)
    return {"dataset_name": path.name, "classes": classes}, records


def _by_number(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (1 << 60, name)


def write_frames(out: Path, job: Job) -> None:
    """One file for each frame, and the sidecar."""
    folders, fresh, records = class_folders(job.metainfo["classes"]), FreshNames(), []
    for record, clip in job.clips():
        if HOLISTIC.lost_scores(clip):
            job.losses.add("score", record["clip_id"], "faces and hands have no column for a score other than 1")
        gloss = folders[record["label"]]
        file = f"{gloss}/{fresh.name(gloss, record['clip_id'])}"
        (out / file).mkdir(parents=True)
        for number, row in enumerate(HOLISTIC.rows_of(clip)):
            np.save(out / file / f"{number}.npy", row)
        records.append({**public(record), "file": file})
    write_list(out / SIDECAR, {**job.metainfo, "skeleton": HOLISTIC.skeleton}, records)
