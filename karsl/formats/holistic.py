"""MediaPipe Holistic as rows of numbers, 1662 columns per frame: `.npz` per class, one block, or `.npy` per frame.

MSL-150's rows of 226 columns are read as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from karsl.errors import ConfigError, CorruptRecordError, DataErrors, DatasetNotFoundError, KarslError
from karsl.formats.base import ConversionJob, class_list, file_with_suffix, register_format
from karsl.formats.folders import (
    SIDECAR,
    NpzFolderWriter,
    UniqueNames,
    class_folders,
    collect_errors,
    files_with_suffix,
    read_sidecar,
)
from karsl.io.annotations import write_data_list
from karsl.io.clip import value_problem
from karsl.io.npy import BROKEN
from karsl.io.npz import Member, list_members, read_member
from karsl.io.sources import FunctionSource, public_record
from karsl.skeletons import Skeleton, get_skeleton

CLIPS, LABELS = "X.npy", "y.npy"


@dataclass(frozen=True)
class ColumnLayout:
    """Columns of a frame: the groups of a skeleton in order, with 3 or 4 numbers per point.

    Args:
        skeleton: Name of the skeleton, with points in the order of the columns.
        with_score: Groups with columns x, y, z, visibility. The others have x, y, z.

    Example:
        >>> ColumnLayout("holistic_543", ("pose",)).num_columns, ColumnLayout("msl_226", ("pose",)).num_columns
        (1662, 226)
    """

    skeleton: str
    with_score: tuple[str, ...] = ()

    @property
    def points(self) -> Skeleton:
        """The skeleton itself."""
        return get_skeleton(self.skeleton)

    @property
    def num_columns(self) -> int:
        """Numbers per frame."""
        return sum((p.stop - p.start) * self._width(g) for g, p in self.points.groups.items())

    def _width(self, group: str) -> int:
        return 4 if group in self.with_score else 3

    def to_clip(self, rows: np.ndarray, *, where: str) -> np.ndarray:
        """Convert rows to a canonical clip.

        Args:
            rows: (T, columns).
            where: Name of the clip, for errors.

        Returns:
            float32 (T, V, 4). A point whose x, y and z are 0 is missing. A score that is not stored is 1.

        Raises:
            CorruptRecordError: If the shape is wrong or a value is not finite.
        """
        if rows.ndim != 2 or rows.shape[1] != self.num_columns or rows.dtype.kind not in "fiu" or not len(rows):
            raise CorruptRecordError(f"{where} is {rows.dtype} {rows.shape}; expected numbers (frames, {self.num_columns})")
        clip, start = np.zeros((len(rows), self.points.num_keypoints, 4), np.float32), 0
        for group, part in self.points.groups.items():
            width, count = self._width(group), part.stop - part.start
            values = rows[:, start : start + width * count].reshape(len(rows), count, width)
            clip[:, part, :width], start = values, start + width * count
        problem = value_problem(clip)
        if problem:
            raise CorruptRecordError(f"{where} {problem}; export it again")
        present, score = (clip[..., :3] != 0).any(-1), clip[..., 3]
        clip[..., 3] = np.where(present, np.where(score > 0, np.minimum(score, 1), 1), 0)
        return clip

    def to_rows(self, clip: np.ndarray) -> np.ndarray:
        """Convert a canonical clip, (T, V, 4), to rows, float32 (T, columns), with zeros for missing points.

        Example:
            >>> layout = ColumnLayout("msl_226", ("pose",))
            >>> layout.to_rows(np.full((2, 67, 4), 0.5, np.float32)).shape
            (2, 226)
        """
        columns = [clip[:, part, : self._width(group)].reshape(len(clip), -1) for group, part in self.points.groups.items()]
        return np.concatenate(columns, axis=1).astype(np.float32, copy=False)

    def loses_scores(self, clip: np.ndarray) -> bool:
        """Return True if a point without a score column has a score other than 1."""
        bare = [part for group, part in self.points.groups.items() if group not in self.with_score]
        scores = np.concatenate([clip[:, part, 3].reshape(-1) for part in bare])
        return bool(((scores != 0) & (scores != 1)).any())


HOLISTIC = ColumnLayout("holistic_543", ("pose",))
"""1662 columns: pose 33 x 4, face 468 x 3, left hand 21 x 3, right hand 21 x 3."""

MSL = ColumnLayout("msl_226", ("pose",))
"""226 columns: pose 25 x 4, left hand 21 x 3, right hand 21 x 3."""


def _rows_of_job(job: ConversionJob, key: Callable[[dict], Any] | None = None) -> Iterator[tuple[dict, np.ndarray]]:
    """Yield each record of a job with its rows, and report lost scores."""
    for record, clip in job.clips(key=key):
        if HOLISTIC.loses_scores(clip):
            job.losses.add("score", record["clip_id"], "faces and hands have no column for a score other than 1")
        yield record, HOLISTIC.to_rows(clip)


def _write_sidecar(out: Path, job: ConversionJob, records: list[dict]) -> None:
    write_data_list(out / SIDECAR, {**job.metainfo, "skeleton": HOLISTIC.skeleton}, records)


def _source(layout: ColumnLayout, metainfo: dict, records: list[dict], reader: Callable) -> FunctionSource:
    return FunctionSource({**metainfo, "skeleton": layout.skeleton}, layout.points, records, reader)


def _load_array(path: Path, *, mapped: bool = False) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except BROKEN as error:
        raise CorruptRecordError(f"{path}: not a readable .npy file ({error}); export it again") from error


def _is_archive_of(layout: ColumnLayout, path: Path) -> bool:
    """Return True if an archive, or the first one in a folder, begins with rows of a layout."""
    file = path if path.is_file() else next(iter(sorted(path.glob("*.npz"))), None)
    if file is None or file.suffix != ".npz":
        return False
    try:
        members, _ = list_members(file)
    except (KarslError, OSError):
        return False
    return bool(members) and members[0].shape[1:] == (layout.num_columns,)


def _read_archived(root: Path, layout: ColumnLayout, record: dict) -> np.ndarray:
    file, key = record["file"], record["key"]
    return layout.to_clip(read_member(root / file, key), where=f"{file}: clip {key!r}")


def write_holistic(out: Path, job: ConversionJob) -> None:
    """Write one archive per class, named by its gloss, and the sidecar."""
    folders, names, records = class_folders(job.metainfo["classes"]), UniqueNames(), []
    with NpzFolderWriter(out) as archives:
        for record, rows in _rows_of_job(job, key=lambda r: r["label"]):
            file = f"{folders[record['label']]}.npz"
            key = names.name(file, record["clip_id"])
            archives.write(file, key, rows)
            records.append({**public_record(record), "file": file, "key": key})
    _write_sidecar(out, job, records)


@register_format(
    "holistic",
    description="<class>.npz, one key per clip, 1662 columns per frame: pose 33 x 4, face 468 x 3, hands 21 x 3",
    cannot_store="keypoints outside MediaPipe Holistic's 543; scores of face and hands",
    detect=partial(_is_archive_of, HOLISTIC),
    priority=110,
    writer=write_holistic,
    skeleton="holistic_543",
)
def open_holistic(path: Path, **_: Any) -> FunctionSource:
    """Open a folder with one archive per class, or a single archive, of 1662 columns per frame."""
    return _open_archives(path, HOLISTIC)


@register_format(
    "msl150",
    description="<word>.npz, one key per clip, 226 columns per frame: pose 25 x 4, hands 21 x 3 (MSL-150)",
    cannot_store="everything",
    detect=partial(_is_archive_of, MSL),
    priority=150,
    skeleton="msl_226",
)
def open_msl(path: Path, **_: Any) -> FunctionSource:
    """Open a folder with one archive per class, or a single archive, of 226 columns per frame."""
    return _open_archives(path, MSL)


def _open_archives(path: Path, layout: ColumnLayout) -> FunctionSource:
    root = path if path.is_dir() else path.parent
    sidecar = read_sidecar(root) if path.is_dir() else None
    metainfo, records = sidecar or _list_archives(path, layout)
    return _source(layout, metainfo, records, partial(_read_archived, root, layout))


def _list_archives(path: Path, layout: ColumnLayout) -> tuple[dict, list[dict]]:
    root, files = files_with_suffix(path, ".npz", expected="one archive per class, such as 'hello.npz'")
    records: list[dict] = []
    problems: list[str] = []
    for label, file in enumerate(files):
        with collect_errors(problems):
            members, bad = list_members(file)
            problems += bad + [p for m in members if (p := _member_problem(file, m, layout))]
            common = {"label": label, "file": file.name}
            records += [
                {"clip_id": f"{file.stem}/{m.key}", **common, "num_frames": m.shape[0], "key": m.key}
                for m in members
                if m.shape
            ]
    if problems:
        raise DataErrors(str(path), problems)
    return {"dataset_name": root.name, "classes": tuple(f.stem for f in files)}, records


def _member_problem(file: Path, member: Member, layout: ColumnLayout) -> str | None:
    shape = member.shape
    if len(shape) == 2 and shape[0] and shape[1] == layout.num_columns and member.dtype.kind in "fiu":
        return None
    return f"{file.name}: clip {member.key!r} is {member.dtype} {shape}; expected numbers (frames, {layout.num_columns})"


def _has_frames(path: Path) -> bool:
    """Return True for a folder with files `<class>/<clip>/0.npy` or `<class>/<clip>/1.npy`."""
    return path.is_dir() and any(next(path.glob(f"*/*/{first}.npy"), None) is not None for first in (0, 1))


def _read_frames(root: Path, record: dict) -> np.ndarray:
    folder = root / record["file"]
    frames = [_load_frame(path) for path in frame_files(folder)]
    if not frames:
        raise CorruptRecordError(f"{folder}: no frames left; was the folder changed after it was listed?")
    return HOLISTIC.to_clip(np.stack(frames), where=f"{record['file']}: the clip")


def frame_files(folder: Path) -> list[Path]:
    """Return the frame files of a clip in numeric order: 9.npy before 10.npy.

    Raises:
        CorruptRecordError: If a file is not named by a number, or a number is repeated or skipped.
    """
    files = [p for p in folder.glob("*.npy") if not p.name.startswith(".")]
    odd = sorted(p.name for p in files if not p.stem.isdecimal())
    if odd:
        raise CorruptRecordError(f"{folder}: {odd[0]!r} is not named by a frame number; rename or remove it")
    numbered = sorted((int(p.stem), p.name) for p in files)
    numbers = [number for number, _ in numbered]
    gaps = [b for a, b in zip(numbers, numbers[1:], strict=False) if b != a + 1]
    if gaps:
        raise CorruptRecordError(f"{folder}: frame {gaps[0]} does not follow its predecessor; is a frame lost or repeated?")
    return [folder / name for _, name in numbered]


def _load_frame(path: Path) -> np.ndarray:
    row = _load_array(path)
    if row.shape != (HOLISTIC.num_columns,):
        raise CorruptRecordError(f"{path}: shape {row.shape}; a frame is ({HOLISTIC.num_columns},)")
    return row


def write_frames(out: Path, job: ConversionJob) -> None:
    """Write one file per frame, and the sidecar."""
    folders, names, records = class_folders(job.metainfo["classes"]), UniqueNames(), []
    for record, rows in _rows_of_job(job):
        folder = folders[record["label"]]
        file = f"{folder}/{names.name(folder, record['clip_id'])}"
        (out / file).mkdir(parents=True)
        for number, row in enumerate(rows):
            np.save(out / file / f"{number}.npy", row)
        records.append({**public_record(record), "file": file})
    _write_sidecar(out, job, records)


@register_format(
    "holistic-frames",
    description="<class>/<clip>/<frame>.npy, 1662 columns",
    cannot_store="as holistic",
    detect=_has_frames,
    priority=120,
    writer=write_frames,
    skeleton="holistic_543",
)
def open_frames(path: Path, **_: Any) -> FunctionSource:
    """Open a folder of files `<class>/<clip>/<frame>.npy`.

    Raises:
        DatasetNotFoundError: If there is no `<class>/<clip>/<frame>.npy`.
        DataErrors: If frames are misnamed, with all clips affected.
    """
    metainfo, records = read_sidecar(path) or _list_frames(path)
    return _source(HOLISTIC, metainfo, records, partial(_read_frames, path))


def _list_frames(path: Path) -> tuple[dict, list[dict]]:
    folders = sorted({f.parent for f in path.glob("*/*/*.npy")}, key=lambda p: (p.parent.name, _numeric_key(p.name)))
    if not folders:
        raise DatasetNotFoundError(f"no frames in {path}; expected files like 'hello/0/0.npy': class, clip, frame")
    classes = tuple(sorted({folder.parent.name for folder in folders}))
    label = {name: i for i, name in enumerate(classes)}
    records: list[dict] = []
    problems: list[str] = []
    for folder in folders:
        clip = folder.relative_to(path).as_posix()
        with collect_errors(problems):
            count = len(frame_files(folder))
            records.append({"clip_id": clip, "label": label[folder.parent.name], "num_frames": count, "file": clip})
    if problems:
        raise DataErrors(str(path), problems)
    return {"dataset_name": path.name, "classes": classes}, records


def _numeric_key(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (1 << 60, name)


def _read_from_block(path: Path, record: dict) -> np.ndarray:
    rows = _load_block(path, mapped=True)[record["place"]]
    return HOLISTIC.to_clip(np.asarray(rows), where=f"{path}: clip {record['place']}")


def write_block(out: Path, job: ConversionJob) -> None:
    """Write `X.npy`, `y.npy` and the sidecar.

    Raises:
        ConfigError: If clips differ in length.
    """
    lengths = sorted({r["num_frames"] for r in job.source.records})
    if len(lengths) > 1:
        raise ConfigError(
            f"clips of {lengths[0]} to {lengths[-1]} frames do not fit one array (clips, frames, {HOLISTIC.num_columns}); "
            "use --to holistic, one array per clip"
        )
    records: list[dict] = []
    shape = (len(job.source.records), *lengths, HOLISTIC.num_columns)
    with (out / CLIPS).open("wb") as stream:
        npy.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for index, (record, rows) in enumerate(_rows_of_job(job)):
            stream.write(rows.astype("<f4").tobytes())
            records.append({**public_record(record), "file": CLIPS, "place": index})
    np.save(out / LABELS, np.array([r["label"] for r in records], dtype=np.int64))
    _write_sidecar(out, job, records)


@register_format(
    "holistic-block",
    description="X.npy (clips, frames, 1662) and y.npy",
    cannot_store="as holistic; clips of different lengths",
    detect=lambda path: (path / CLIPS).is_file() or file_with_suffix(".npy")(path),
    priority=130,
    writer=write_block,
    skeleton="holistic_543",
)
def open_block(path: Path, **_: Any) -> FunctionSource:
    """Open `X.npy`, or its folder. `y.npy` next to it holds labels, as numbers or one-hot rows.

    Raises:
        DatasetNotFoundError: If one of the files does not exist.
        CorruptRecordError: If the array has another shape, or the number of labels differs.
    """
    path = path / CLIPS if path.is_dir() else path
    block = _load_block(path, mapped=True)
    if block.ndim != 3 or block.shape[2] != HOLISTIC.num_columns or block.dtype.kind not in "fiu":
        raise CorruptRecordError(
            f"{path} is {block.dtype} {block.shape}; expected numbers (clips, frames, {HOLISTIC.num_columns})"
        )
    metainfo, records = read_sidecar(path.parent) or _number_clips(path, block.shape[:2])
    if len(records) != len(block):
        raise CorruptRecordError(f"{path} has {len(block)} clips, but {SIDECAR} lists {len(records)}; convert them again")
    return _source(HOLISTIC, metainfo, records, partial(_read_from_block, path))


def _number_clips(path: Path, shape: tuple[int, ...]) -> tuple[dict, list[dict]]:
    label_file = path.with_name(LABELS)
    labels = _load_block(label_file)
    labels = labels.argmax(1) if labels.ndim == 2 else labels
    if labels.shape != shape[:1] or labels.dtype.kind not in "iu" or (len(labels) and labels.min() < 0):
        raise CorruptRecordError(
            f"{label_file} is {labels.dtype} {labels.shape}; expected {shape[0]} labels from 0, or one-hot rows"
        )
    records = [
        {"clip_id": f"{i:06d}", "label": label, "num_frames": shape[1], "file": path.name, "place": i}
        for i, label in enumerate(labels.tolist())
    ]
    return {"dataset_name": path.parent.name, "classes": class_list(labels.tolist())}, records


def _load_block(path: Path, *, mapped: bool = False) -> np.ndarray:
    if not path.is_file():
        raise DatasetNotFoundError(f"no {str(path)!r}; expected {CLIPS} (clips, frames, columns) and {LABELS} (labels)")
    return _load_array(path, mapped=mapped)
