"""Scan a KArSL data root into records.

| layout | holds |
| --- | --- |
| `<signer>-<split>/<sign>.npz` (or `.pt`) | the clips of a sign, one array each |
| `<signer>-<split>/<sign>/<clip>.npz` (or `.npy`, `.pt`) | a file for each clip |

Headers alone are read unless asked for values, every problem of every file is collected, and the order of the records
depends on names only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from xxhash import xxh3_64_hexdigest

from karsl.errors import CorruptRecordError, DataErrors, DatasetNotFoundError
from karsl.skeletons import Skeleton
from karsl.storage.file_index import FileIndex, IndexedFile, Progress
from karsl.storage.files import LISTERS
from karsl.storage.folder_names import SPLITS, layout_seen, way_on
from karsl.storage.labels import LabelSheet
from karsl.storage.npy import MappedFiles
from karsl.storage.npz import Member, read_member
from karsl.storage.packed import ANNOTATIONS
from karsl.storage.record import shape_problem, value_problem
from karsl.storage.tensors import read_tensor

_FOLDER = re.compile(r"(?P<signer>\d{2})-(?P<split>.+)")
PLACE = "member"
"""Key of a record: where its array lies in an archive, a list in the order of `karsl.storage.npz.Place`."""


@dataclass
class Scan:
    """What a data root holds.

    Attributes:
        records: `clip_id keypoint_path keypoint_key sign signer split num_frames` of every readable clip, and `member`
            where it lies in an archive; paths are relative to the root, with `/`.
        problems: One sentence per thing that is wrong.
        unseen: `clip_id` of the records in which no point was found in any frame; empty where values were not read.
    """

    records: list[dict] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    @property
    def signs(self) -> tuple[int, ...]:
        """SignIDs that occur, ascending."""
        return tuple(sorted({r["sign"] for r in self.records}))

    def error(self, root: str | Path, where: str | None = None) -> DataErrors:
        """All problems as one error, with the way on.

        Args:
            root: That was scanned.
            where: How the headline calls it; None is its path.
        """
        remedy = way_on(root, self.problems, some_are_good=bool(self.records))
        return DataErrors(where or str(root), self.problems, remedy)


def scan_npz_folders(
    root: str | Path,
    *,
    skeleton: Skeleton,
    sheet: LabelSheet | None = None,
    read_values: bool = False,
    memory: str | Path | None = None,
    progress: Progress | None = None,
) -> Scan:
    """List every clip below a data root.

    Args:
        root: Folder that holds `01-train`, `01-test`, ...
        skeleton: Gives the number of keypoints that a clip must have.
        sheet: If given, a SignID outside it is a problem.
        read_values: Also decode every clip, report NaN, infinity and damaged bytes, and note clips without any point.
        memory: Folder, private to this user, where headers are remembered: a later scan opens only files that changed.
        progress: `progress(files, total)` wraps the iteration over files, for a bar.

    Raises:
        DatasetNotFoundError: No such folder, or none of its folders is named like the layout.
    """
    root = Path(root)
    scan = Scan()
    names = _clip_files(root, scan.problems)
    note = None if memory is None else Path(memory) / f"{xxh3_64_hexdigest(os.fsencode(root.absolute()))}.scan"
    for file in FileIndex.read(root, names, memory=note, progress=progress).files:
        found = _scan_file(file, root, skeleton, sheet, read_values)
        scan.records += found.records
        scan.problems += found.problems
        scan.unseen += found.unseen
    scan.problems += _clips_in_two_splits(scan.records)
    return scan


def _clip_files(root: Path, problems: list[str]) -> list[str]:
    if not root.is_dir():
        raise DatasetNotFoundError(
            f"data_root={str(root)!r} is not a folder; expected one that holds '01-train/0001.npz'; "
            "see 'karsl prepare --help'"
        )
    files: list[str] = []
    for folder in sorted(entry.name for entry in os.scandir(root) if entry.is_dir()):
        named = _FOLDER.fullmatch(folder)
        if not named:
            continue
        if named["split"] not in SPLITS:
            near = get_close_matches(named["split"], SPLITS, n=1)
            hint = f"did you mean {named['signer']}-{near[0]!s}?" if near else f"splits are {SPLITS}"
            problems.append(f"{_readable(folder)}: no split {_readable(named['split'])!r}; {hint} Rename the folder")
            continue
        found = list(_below(root, folder))
        if not found:
            problems.append(f"{folder}: the folder holds no {', '.join(LISTERS)} file; copy its clips or remove it")
        problems += [f"{_readable(name)}: a name that is not UTF-8; rename it" for name in found if name != _readable(name)]
        files += [name for name in found if name == _readable(name)]
    if not files and not problems:
        hint = (
            "; annotations.json lies there, is ann_file='annotations.json' meant?" if (root / ANNOTATIONS).is_file() else ""
        )
        raise DatasetNotFoundError(
            f"no clips in data_root={str(root)!r}; expected files like '01-train/0001.npz', {layout_seen(root)}{hint}; "
            "see 'karsl prepare --help'"
        )
    return files


def _readable(name: str) -> str:
    r"""A name as it can be written; bytes that are not UTF-8 as `\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _below(root: Path, folder: str) -> Iterator[str]:
    """Files of a split, and of the folders of its signs."""
    with os.scandir(root / folder) as entries:
        found = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
    for name, is_folder in found:
        if is_folder:
            inside = sorted(f for f in os.listdir(root / folder / name) if not f.startswith("."))
            yield from (f"{folder}/{name}/{file}" for file in inside if file.endswith(tuple(LISTERS)))
        elif name.endswith(tuple(LISTERS)):
            yield f"{folder}/{name}"


def _scan_file(file: IndexedFile, root: Path, skeleton: Skeleton, sheet: LabelSheet | None, read_values: bool) -> Scan:
    sign, misnamed = _sign_of(file.name, sheet)
    if misnamed:
        return Scan(problems=[misnamed])
    signer, _, split = file.name.partition("/")[0].partition("-")
    told = {"sign": sign, "signer": signer, "split": split}  # one text for all clips of the file
    scan = Scan(problems=[_relative(p, root) for p in file.problems])
    if file.members and file.members[0].key is None and file.name.count("/") == 1:
        stem, _, suffix = file.name.rpartition(".")
        return Scan(problems=[f"{file.name}: one array without a name; move it to a folder of its sign, {stem}/1.{suffix}"])
    for member in file.members:
        problem, unseen = shape_problem(member.shape, member.dtype, skeleton.num_keypoints), False
        if problem is None and read_values:
            problem, unseen = _look_at_values(root / file.name, member.key)
        if problem:
            scan.problems.append(f"{file.name}: {_called(member)} {_relative(problem, root)}")
            continue
        scan.records.append(_record_of(file, member, told))
        if unseen:
            scan.unseen.append(scan.records[-1]["clip_id"])
    return scan


def _sign_of(name: str, sheet: LabelSheet | None) -> tuple[int, str | None]:
    """SignID that a file's name tells, and what is wrong with it."""
    parts = name.split("/")
    named = parts[1] if len(parts) == 3 else parts[1].rpartition(".")[0]
    if not named.isdigit() or int(named) < 1:
        what, like = ("folder", "'0001'") if len(parts) == 3 else ("file", "'0001.npz'")
        return 0, f"{'/'.join(parts[:2])}: a {what} is named by its SignID, like {like}; rename it"
    sign = int(named)
    if sheet and sign not in sheet.signs:
        span = f"{sheet.signs[0]}-{sheet.signs[-1]}"
        return sign, f"{name}: sign {sign} is not in the label sheet ({len(sheet.signs)} signs, {span})"
    return sign, None


def _record_of(file: IndexedFile, member: Member, told: dict) -> dict:
    return {
        "clip_id": _clip_id(file, member),
        "keypoint_path": file.name,
        **({} if member.key is None else {"keypoint_key": member.key}),
        **told,
        "num_frames": int(member.shape[0]),
        **({} if member.place is None else {PLACE: list(member.place)}),
    }


def _clip_id(file: IndexedFile, member: Member) -> str:
    """The file's path without its suffix, and the array's name where the file holds several or is a sign's."""
    stem = file.name.rpartition(".")[0]
    alone = member.key is None or (file.name.count("/") == 2 and len(file.members) == 1)
    return stem if alone else f"{stem}/{member.key}"


def _called(member: Member) -> str:
    return "the clip" if member.key is None else f"clip {member.key!r}"


def _look_at_values(path: Path, key: str | None) -> tuple[str | None, bool]:
    """What is wrong with a clip, and whether it has no point in any frame."""
    try:
        clip = _clip(path, key)
    except CorruptRecordError as error:
        return f"is damaged: {error}", False
    return value_problem(clip), not clip[..., :3].any()


def _clip(path: Path, key: str | None) -> np.ndarray:
    if path.suffix == ".npz":
        return read_member(path, str(key))
    return read_tensor(path, key) if path.suffix == ".pt" else MappedFiles(1).array(str(path))


def _clips_in_two_splits(records: list[dict]) -> list[str]:
    seen: dict[tuple, str] = {}
    problems = []
    for r in records:
        name, where = r["clip_id"].split("/", 2)[2], r["keypoint_path"]
        first = seen.setdefault((r["signer"], r["sign"], name), where)
        if first != where:
            one_split = first.partition("/")[0] == where.partition("/")[0]
            harm = "one clip twice would count double" if one_split else (
                "one clip in two splits would be trained and tested on"
            )  # fmt: skip
            problems.append(f"{where}: clip {name!r} is also in {first}; {harm}, remove one")
    return problems


def _relative(text: str, root: Path) -> str:
    return text.replace(f"{root}/", "")
