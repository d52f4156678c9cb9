"""One `.npz` a class, one key a clip, rows of columns in it: MSL-150 (226) and most 1662-column corpora."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import CorruptRecordError, DataErrors, DatasetNotFoundError
from karsl.storage.annotation import write_list
from karsl.storage.clip_source import Clips, public
from karsl.storage.convert.archive_folder import ArchiveFolder
from karsl.storage.convert.columns import HOLISTIC, MSL, ColumnLayout
from karsl.storage.convert.job import Job
from karsl.storage.convert.naming import FreshNames, class_folders
from karsl.storage.convert.sidecar import SIDECAR, read_sidecar
from karsl.storage.npz import Member, list_members, read_member


@dataclass(frozen=True)
class _MemberReader:
    root: Path
    layout: ColumnLayout

    def __call__(self, record: dict) -> np.ndarray:
        file, key = record["file"], record["key"]
        return self.layout.clip_of(read_member(self.root / file, key), where=f"{file}: clip {key!r}")


def open_holistic(path: Path, **_: Any) -> Clips:
    """1662 columns a frame; a folder of archives, or one."""
    return _open(path, HOLISTIC)


def open_msl(path: Path, **_: Any) -> Clips:
    """226 columns a frame; a folder of archives, or one."""
    return _open(path, MSL)


def _open(path: Path, layout: ColumnLayout) -> Clips:
    root = path if path.is_dir() else path.parent
    known = read_sidecar(root) if path.is_dir() else None
    metainfo, records = known or _scan(path, root, layout)
    return Clips({**metainfo, "skeleton": layout.skeleton}, layout.points, records, _MemberReader(root, layout))


def _scan(path: Path, root: Path, layout: ColumnLayout) -> tuple[dict, list[dict]]:
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    if not files:
        raise DatasetNotFoundError(f"no .npz in {path}; expected one archive a class, such as 'hello.npz'")
    records: list[dict] = []
    problems: list[str] = []
    for label, file in enumerate(files):
        try:
            members, bad = list_members(file)
        except CorruptRecordError as error:
            problems.append(str(error))
            continue
        problems += bad + [p for m in members if (p := _problem(file, m, layout))]
        records += _records(file, label, members)
    if problems:
        raise DataErrors(str(path), problems)
    return {"dataset_name": root.name, "classes": tuple(f.stem for f in files)}, records


def _records(file: Path, label: int, members: Iterable[Member]) -> list[dict]:
    facts = {"label": label, "file": file.name}
    return [{"clip_id": f"{file.stem}/{m.key}", **facts, "num_frames": m.shape[0], "key": m.key} for m in members if m.shape]


def _problem(file: Path, member: Member, layout: ColumnLayout) -> str | None:
    shape = member.shape
    if len(shape) == 2 and shape[0] and shape[1] == layout.num_columns and member.dtype.kind in "fiu":
        return None
    return f"{file.name}: clip {member.key!r} holds {member.dtype} {shape}; expected numbers (frames, {layout.num_columns})"


def write_holistic(out: Path, job: Job) -> None:
    """One archive for each class, named by its gloss, and the sidecar."""
    folders, fresh, records = class_folders(job.metainfo["classes"]), FreshNames(), []
    with ArchiveFolder(out) as archives:
        for record, clip in job.clips(by=lambda r: r["label"]):
            if HOLISTIC.lost_scores(clip):
                job.losses.add("score", record["clip_id"], "faces and hands have no column for a score other than 1")
            file = f"{folders[record['label']]}.npz"
            key = fresh.name(file, record["clip_id"])
            archives.write(file, key, HOLISTIC.rows_of(clip))
            records.append({**public(record), "file": file, "key": key})
    write_list(out / SIDECAR, {**job.metainfo, "skeleton": HOLISTIC.skeleton}, records)
