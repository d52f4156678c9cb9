"""MediaPipe Holistic as rows of numbers, 1662 columns per frame: `.npz` per class, one block, or `.npy` per frame.

MSL-150's rows of 226 columns are read as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from karsl.errors import ConfigError, CorruptRecordError, DataErrors, DatasetNotFoundError, KarslError, pluralize
from karsl.formats.arrays import open_arrays
from karsl.formats.base import ConversionJob, register_format
from karsl.formats.folders import SIDECAR, NpzFolderWriter, UniqueNames, class_folders, read_sidecar
from karsl.io.annotations import check_records, write_data_list
from karsl.io.array_layout import ArrayLayout
from karsl.io.file_index import inspect_clips
from karsl.io.file_list import has_suffix, is_hidden, visible_files
from karsl.io.layout_config import LAYOUTS
from karsl.io.missing import STRICT
from karsl.io.npz import list_members
from karsl.io.sources import ClipSource, IndexedSource, public_record
from karsl.skeletons import Skeleton

CLIPS, LABELS = "X.npy", "y.npy"

# The skeletons are named, so that none is searched for, which would load plugins while this package is imported.
HOLISTIC = ArrayLayout.parse({"columns": LAYOUTS["holistic_1662"], "skeleton": "holistic_543"})
"""1662 columns: pose 33 x 4, face 468 x 3, left hand 21 x 3, right hand 21 x 3."""

MSL = ArrayLayout.parse({"columns": LAYOUTS["msl_226"], "skeleton": "msl_226"})
"""226 columns: pose 25 x 4, left hand 21 x 3, right hand 21 x 3."""


def _rows_of_job(job: ConversionJob, key: Callable[[dict], Any] | None = None) -> Iterator[tuple[dict, np.ndarray]]:
    """Yield each record of a job with its rows, and report lost scores."""
    for record, clip in job.clips(key=key):
        if _loses_scores(HOLISTIC, clip):
            job.losses.add("score", record["clip_id"], "faces and hands have no column for a score other than 1")
        yield record, to_rows(HOLISTIC, clip)


def to_rows(layout: ArrayLayout, clip: np.ndarray) -> np.ndarray:
    """Convert a canonical clip, (T, V, 4), to the columns of a layout, float32 (T, columns), with zeros for missing points.

    Example:
        >>> to_rows(MSL, np.full((2, 67, 4), 0.5, np.float32)).shape
        (2, 226)
    """
    groups = layout.skeleton.groups
    columns = [clip[:, groups[c.group], : c.width].reshape(len(clip), -1) for c in layout.columns]
    return np.concatenate(columns, axis=1).astype(np.float32, copy=False)


def _loses_scores(layout: ArrayLayout, clip: np.ndarray) -> bool:
    """Return True if a point without a score column has a score other than 1."""
    bare = [layout.skeleton.groups[c.group] for c in layout.columns if c.width < 4]
    scores = np.concatenate([clip[:, part, 3].reshape(-1) for part in bare])
    return bool(((scores != 0) & (scores != 1)).any())


def _write_sidecar(out: Path, job: ConversionJob, records: list[dict]) -> None:
    write_data_list(out / SIDECAR, {**job.metainfo, "skeleton": HOLISTIC.skeleton.name}, records)


def _open(path: Path, layout: ArrayLayout, options: dict[str, Any]) -> ClipSource:
    """Open arrays by the sidecar of their folder, or by their names, with the layout of a format."""
    root = path if path.is_dir() else path.parent
    sidecar = read_sidecar(root) if options.get("layout") is None else None
    if sidecar is None:
        return open_arrays(path, **{"layout": layout, **{k: v for k, v in options.items() if v is not None}})
    metainfo = {**sidecar.metainfo, "skeleton": layout.skeleton.name}
    located = [_locate(record) for record in sidecar.records]
    check_records(located, root / SIDECAR)
    missing = options.get("missing", STRICT)
    return IndexedSource(metainfo, layout.skeleton, located, root.resolve(), layout=layout, missing=missing)


def _locate(record: dict) -> dict:
    """Return a record of the sidecar with the keys of a record of arrays."""
    names = {"file": "keypoint_path", "key": "keypoint_key", "place": "keypoint_index"}
    return {names.get(key, key): value for key, value in record.items()}


def _is_archive_of(layout: ArrayLayout, path: Path) -> bool:
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
    uses_layout=True,
)
def open_holistic(path: Path, **options: Any) -> ClipSource:
    """Open a folder with one archive per class, or a single archive, of 1662 columns per frame."""
    return _open(path, HOLISTIC, {"labels": "file", **_array_options(options)})


@register_format(
    "msl150",
    description="<word>.npz, one key per clip, 226 columns per frame: pose 25 x 4, hands 21 x 3 (MSL-150)",
    cannot_store="everything",
    detect=partial(_is_archive_of, MSL),
    priority=150,
    skeleton="msl_226",
    uses_layout=True,
)
def open_msl(path: Path, **options: Any) -> ClipSource:
    """Open a folder with one archive per class, or a single archive, of 226 columns per frame."""
    return _open(path, MSL, {"labels": "file", **_array_options(options)})


def _array_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a reader that array files use."""
    return {
        key: options[key] for key in ("layout", "pattern", "labels", "progress", "missing") if options.get(key) is not None
    }


def _has_frames(path: Path) -> bool:
    """Return True for a folder with files `<class>/<clip>/0.npy` or `<class>/<clip>/1.npy` of one axis."""
    frames = (file for n in (0, 1) for file in path.glob(f"*/*/{n}.npy"))
    first = next((f for f in frames if not any(map(is_hidden, f.relative_to(path).parts))), None) if path.is_dir() else None
    if first is None:
        return False
    try:
        members, _ = inspect_clips(first)
    except (KarslError, OSError):
        return True  # its reader reports all that is wrong
    return all(len(member.shape) == 1 for member in members)


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
    description="<class>/<clip>/<frame>.npy, 1662 columns; others by --layout",
    cannot_store="as holistic",
    detect=_has_frames,
    priority=120,
    writer=write_frames,
    skeleton="holistic_543",
    uses_layout=True,
)
def open_frames(path: Path, *, skeleton: Skeleton | None = None, **options: Any) -> ClipSource:
    """Open a folder of files `<class>/<clip>/<frame>.npy`, with 1662 columns or those of `layout`.

    Raises:
        DatasetNotFoundError: If there is no `<class>/<clip>/<frame>.npy`.
        DataErrors: If frames are misnamed, with all clips affected.
    """
    if next(path.glob("*/*/*.npy"), None) is None:
        raise DatasetNotFoundError(f"no frames in {path}; expected files like 'hello/0/0.npy': class, clip, frame")
    options = _array_options(options)
    if read_sidecar(path) is None:
        return open_arrays(path, skeleton=skeleton, **options)
    return _open(path, HOLISTIC, options)


def write_block(out: Path, job: ConversionJob) -> None:
    """Write `X.npy`, `y.npy` and the sidecar.

    Raises:
        ConfigError: If clips differ in length.
    """
    lengths = sorted({r["num_frames"] for r in job.source.records})
    if len(lengths) > 1:
        raise ConfigError(
            f"clips of {lengths[0]} to {pluralize(lengths[-1], 'frame')} do not fit one array "
            f"(clips, frames, {HOLISTIC.num_columns}); "
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


def _is_block(path: Path) -> bool:
    """Return True for `X.npy` with 1662 columns, or its folder."""
    path = path / CLIPS if path.is_dir() else path
    if path.suffix.lower() != ".npy" or not path.is_file():
        return False
    try:
        members, _ = inspect_clips(path)
    except (KarslError, OSError):
        return False
    return bool(members) and len(members[0].shape) == 3 and members[0].shape[2] == HOLISTIC.num_columns


@register_format(
    "holistic-block",
    description="X.npy (clips, frames, 1662) and y.npy",
    cannot_store="as holistic; clips of different lengths",
    detect=_is_block,
    priority=130,
    writer=write_block,
    skeleton="holistic_543",
    uses_layout=True,
)
def open_block(path: Path, **options: Any) -> ClipSource:
    """Open `X.npy`, or its folder. `y.npy` next to it holds labels, as numbers or one-hot rows.

    Raises:
        DatasetNotFoundError: If one of the files does not exist.
        CorruptRecordError: If the array has another shape, or the number of labels differs.
    """
    path = path / CLIPS if path.is_dir() else path
    for file in (path, path.with_name(LABELS)):
        if not file.is_file():
            raise DatasetNotFoundError(f"no {str(file)!r}; expected {CLIPS} (clips, frames, columns) and {LABELS} (labels)")
    source = _open(path, HOLISTIC, {"labels": LABELS, **_array_options(options)})
    arrays, problems = inspect_clips(path)
    if not arrays:
        raise DataErrors(str(path), problems)
    count = arrays[0].shape[0]
    if len(source.records) != count:
        raise CorruptRecordError(
            f"{path} has {pluralize(count, 'clip')}, but {SIDECAR} lists {len(source.records)}; convert them again"
        )
    return source
