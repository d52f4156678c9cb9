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

from karsl.errors import ConfigError, CorruptRecordError, DatasetNotFoundError, KarslError
from karsl.formats.base import ConversionJob, class_list, file_with_suffix, register_format
from karsl.formats.folders import (
    SIDECAR,
    Listing,
    NpzFolderWriter,
    UniqueNames,
    class_folders,
    class_name,
    collect_errors,
    files_with_suffix,
    number_classes,
    read_sidecar,
)
from karsl.io.annotations import write_data_list
from karsl.io.clip import value_problem
from karsl.io.file_list import OTHER_TYPE, Unread, has_suffix, is_hidden, list_folder, visible_files
from karsl.io.missing import STRICT, MissingPoints
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

    def to_clip(self, rows: np.ndarray, *, where: str, missing: MissingPoints = STRICT) -> np.ndarray:
        """Convert rows to a canonical clip.

        Args:
            rows: (T, columns).
            where: Name of the clip, for errors.
            missing: Rules that say which points are missing.

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
        clip = missing.clear(clip)
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


def _source(layout: ColumnLayout, clips: Listing, reader: Callable) -> FunctionSource:
    metainfo = {**clips.metainfo, "skeleton": layout.skeleton}
    return FunctionSource(metainfo, layout.points, clips.records, reader, clips.notes, problems=clips.problems)


def _load_array(path: Path, *, mapped: bool = False) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except BROKEN as error:
        raise CorruptRecordError(f"{path}: not a readable .npy file ({error}); export it again") from error


def _is_archive_of(layout: ColumnLayout, path: Path) -> bool:
    """Return True if an archive, or the first one in a folder, begins with rows of a layout."""
    files = [path] if path.is_file() else visible_files(path)
    file = next((f for f in files if has_suffix(f.name, (".npz",))), None)
    if file is None:
        return False
    try:
        members, _ = list_members(file)
    except (KarslError, OSError):
        return False
    return bool(members) and members[0].shape[1:] == (layout.num_columns,)


def _read_archived(root: Path, layout: ColumnLayout, missing: MissingPoints, record: dict) -> np.ndarray:
    file, key = record["file"], record["key"]
    return layout.to_clip(read_member(root / file, key), where=f"{file}: clip {key!r}", missing=missing)


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
def open_holistic(path: Path, *, missing: MissingPoints = STRICT, **_: Any) -> FunctionSource:
    """Open a folder with one archive per class, or a single archive, of 1662 columns per frame."""
    return _open_archives(path, HOLISTIC, missing)


@register_format(
    "msl150",
    description="<word>.npz, one key per clip, 226 columns per frame: pose 25 x 4, hands 21 x 3 (MSL-150)",
    cannot_store="everything",
    detect=partial(_is_archive_of, MSL),
    priority=150,
    skeleton="msl_226",
)
def open_msl(path: Path, *, missing: MissingPoints = STRICT, **_: Any) -> FunctionSource:
    """Open a folder with one archive per class, or a single archive, of 226 columns per frame."""
    return _open_archives(path, MSL, missing)


def _open_archives(path: Path, layout: ColumnLayout, missing: MissingPoints) -> FunctionSource:
    root = path if path.is_dir() else path.parent
    sidecar = read_sidecar(root) if path.is_dir() else None
    return _source(layout, sidecar or _list_archives(path, layout), partial(_read_archived, root, layout, missing))


def _list_archives(path: Path, layout: ColumnLayout) -> Listing:
    root, files, notes = files_with_suffix(path, ".npz", expected="one archive per class, such as 'hello.npz'")
    records: list[dict] = []
    problems: list[str] = []
    label = number_classes(class_name(file.stem) for file in files)
    for file in files:
        with collect_errors(problems):
            members, bad = list_members(file)
            found = {m.key: _member_problem(file, m, layout) for m in members}
            problems += bad + [problem for problem in found.values() if problem]
            common = {"label": label[class_name(file.stem)], "file": file.name}
            records += [
                {"clip_id": f"{file.stem}/{m.key}", **common, "num_frames": m.shape[0], "key": m.key}
                for m in members
                if not found[m.key]
            ]
    return Listing({"dataset_name": root.name, "classes": tuple(label)}, records, notes, tuple(problems))


def _member_problem(file: Path, member: Member, layout: ColumnLayout) -> str | None:
    shape = member.shape
    if len(shape) == 2 and shape[0] and shape[1] == layout.num_columns and member.dtype.kind in "fiu":
        return None
    return f"{file.name}: clip {member.key!r} is {member.dtype} {shape}; expected numbers (frames, {layout.num_columns})"


def _has_frames(path: Path) -> bool:
    """Return True for a folder with files `<class>/<clip>/0.npy` or `<class>/<clip>/1.npy`."""
    return path.is_dir() and any(
        not any(map(is_hidden, file.relative_to(path).parts)) for first in (0, 1) for file in path.glob(f"*/*/{first}.npy")
    )


def _read_frames(root: Path, missing: MissingPoints, record: dict) -> np.ndarray:
    folder = root / record["file"]
    frames = [_load_frame(path) for path in frame_files(folder)]
    if not frames:
        raise CorruptRecordError(f"{folder}: no frames left; was the folder changed after it was listed?")
    return HOLISTIC.to_clip(np.stack(frames), where=f"{record['file']}: the clip", missing=missing)


def frame_files(folder: Path, unread: Unread | None = None, prefix: str = "") -> list[Path]:
    """Return the frame files of a clip in numeric order: 9.npy before 10.npy.

    Args:
        folder: Folder of the clip.
        unread: Collector of names that are not read, each with `prefix`.
        prefix: Path of the folder in these names.

    Raises:
        CorruptRecordError: If a file is not named by a number, or a number is repeated or skipped.
    """
    unread = unread or Unread()
    _, names = list_folder(folder, unread, prefix)
    files = [folder / name.removeprefix(prefix) for name in unread.with_suffix((prefix + n for n in names), (".npy",))]
    odd = sorted(p.name for p in files if not p.stem.isdecimal())
    if odd:
        raise CorruptRecordError(f"{folder}: {odd[0]!r} is not named by a frame number; rename it or move it away")
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
def open_frames(path: Path, *, missing: MissingPoints = STRICT, **_: Any) -> FunctionSource:
    """Open a folder of files `<class>/<clip>/<frame>.npy`.

    Raises:
        DatasetNotFoundError: If there is no `<class>/<clip>/<frame>.npy`.
    """
    return _source(HOLISTIC, read_sidecar(path) or _list_frames(path), partial(_read_frames, path, missing))


def _list_frames(path: Path) -> Listing:
    unread, counts = Unread(), {}
    problems: list[str] = []
    for clip in _clip_folders(path, unread):
        with collect_errors(problems):
            count = len(frame_files(path / clip, unread, f"{clip}/"))
            if count:
                counts[clip] = count
            else:
                unread.add("folder without frames", clip)
    if not counts and not problems:
        raise DatasetNotFoundError(f"no frames in {path}; expected files like 'hello/0/0.npy': class, clip, frame")
    label = number_classes(class_name(clip.partition("/")[0]) for clip in counts)
    records = [
        {"clip_id": clip, "label": label[class_name(clip.partition("/")[0])], "num_frames": count, "file": clip}
        for clip, count in counts.items()
    ]
    return Listing({"dataset_name": path.name, "classes": tuple(label)}, records, unread.notes(), tuple(problems))


def _clip_folders(path: Path, unread: Unread) -> list[str]:
    """Return the folders `<class>/<clip>`, clips in numeric order, and collect the files next to them."""
    classes, files = list_folder(path, unread)
    clips = []
    for name in classes:
        inside, others = list_folder(path / name, unread, f"{name}/")
        files += [f"{name}/{other}" for other in others]
        clips += [f"{name}/{clip}" for clip in sorted(inside, key=_numeric_key)]
    for file in files:
        unread.add(OTHER_TYPE, file)
    return clips


def _numeric_key(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (1 << 60, name)


def _read_from_block(path: Path, missing: MissingPoints, record: dict) -> np.ndarray:
    rows = _load_block(path, mapped=True)[record["place"]]
    return HOLISTIC.to_clip(np.asarray(rows), where=f"{path}: clip {record['place']}", missing=missing)


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
def open_block(path: Path, *, missing: MissingPoints = STRICT, **_: Any) -> FunctionSource:
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
    clips = read_sidecar(path.parent) or _number_clips(path, block.shape[:2])
    count = len(clips.records)
    if count != len(block):
        raise CorruptRecordError(f"{path} has {len(block)} clips, but {SIDECAR} lists {count}; convert them again")
    return _source(HOLISTIC, clips, partial(_read_from_block, path, missing))


def _number_clips(path: Path, shape: tuple[int, ...]) -> Listing:
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
    return Listing({"dataset_name": path.parent.name, "classes": class_list(labels.tolist())}, records)


def _load_block(path: Path, *, mapped: bool = False) -> np.ndarray:
    if not path.is_file():
        raise DatasetNotFoundError(f"no {str(path)!r}; expected {CLIPS} (clips, frames, columns) and {LABELS} (labels)")
    return _load_array(path, mapped=mapped)
