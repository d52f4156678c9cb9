"""Scan a KArSL data root into records.

| layout | content |
| --- | --- |
| `<signer>-<split>/<sign>.npz` (or `.pt`) | the clips of a sign, one array each |
| `<signer>-<split>/<sign>/<clip>.npz` (or `.npy`, `.pt`) | one file per clip |

Only headers are read unless values are requested. All problems of all files are collected. The order of the records depends
on names only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from xxhash import xxh3_64_hexdigest

from karsl.errors import CorruptRecordError, DataErrors, DatasetNotFoundError
from karsl.formats.karsl.layout import SPLITS, describe_layout, suggest_fix
from karsl.io.annotations import BYTE_RANGE_KEY
from karsl.io.array_files import Key, read_array
from karsl.io.clip import shape_problem, value_problem
from karsl.io.file_index import CLIP_FILES, FileIndex, IndexedFile, Progress
from karsl.io.labels import LabelTable
from karsl.io.npz import Member
from karsl.io.pack_reader import ANNOTATIONS
from karsl.skeletons import Skeleton

_FOLDER = re.compile(r"(?P<signer>\d{2})-(?P<split>.+)")


@dataclass
class ScanResult:
    """Content of a data root.

    Attributes:
        records: `clip_id keypoint_path keypoint_key sign signer split num_frames` of every readable clip, and the byte
            range of its array in an archive. Paths are relative to the root, with `/`.
        problems: One sentence per problem.
        empty_clips: `clip_id` of the records without a point in any frame. Empty unless values were read.
    """

    records: list[dict] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    empty_clips: list[str] = field(default_factory=list)

    @property
    def signs(self) -> tuple[int, ...]:
        """SignIDs that occur, ascending."""
        return tuple(sorted({r["sign"] for r in self.records}))

    def error(self, root: str | Path, where: str | None = None) -> DataErrors:
        """Return all problems as one error with a remedy; `where` replaces the path of `root` in its first line."""
        remedy = suggest_fix(root, self.problems, has_records=bool(self.records))
        return DataErrors(where or str(root), self.problems, remedy)


def scan_npz_folders(
    root: str | Path,
    *,
    skeleton: Skeleton,
    label_table: LabelTable | None = None,
    read_values: bool = False,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> ScanResult:
    """List every clip below a data root.

    Args:
        root: Folder that contains `01-train`, `01-test`, ...
        skeleton: Skeleton of the clips. Their number of keypoints is checked.
        label_table: Table of known signs. A SignID outside it is a problem.
        read_values: Also decode every clip, report NaN, infinity and damaged bytes, and list clips without any point.
        cache_dir: Folder, private to this user, that caches headers. A later scan opens only files that changed.
        progress: `progress(files, total)` wraps the iteration over files.

    Raises:
        DatasetNotFoundError: If the folder does not exist or contains no clips in this layout.
    """
    root = Path(root)
    result = ScanResult()
    names = _clip_files(root, result.problems)
    cache = None if cache_dir is None else Path(cache_dir) / f"{xxh3_64_hexdigest(os.fsencode(root.absolute()))}.scan"
    for file in FileIndex.read(root, names, index_file=cache, progress=progress).files:
        found = _scan_file(file, root, skeleton, label_table, read_values)
        result.records += found.records
        result.problems += found.problems
        result.empty_clips += found.empty_clips
    result.problems += _repeated_clips(result.records)
    return result


def _clip_files(root: Path, problems: list[str]) -> list[str]:
    """Return the paths, relative to the root, of all clip files, and collect problems of folder and file names."""
    if not root.is_dir():
        raise DatasetNotFoundError(
            f"data_root={str(root)!r} is not a folder; expected one that contains '01-train/0001.npz'; "
            "see 'karsl prepare --help'"
        )
    files: list[str] = []
    for folder in sorted(entry.name for entry in os.scandir(root) if entry.is_dir()):
        match = _FOLDER.fullmatch(folder)
        if not match:
            continue
        if match["split"] not in SPLITS:
            near = get_close_matches(match["split"], SPLITS, n=1)
            hint = f"did you mean {match['signer']}-{near[0]!s}?" if near else f"splits are {SPLITS}"
            problems.append(f"{_printable(folder)}: no split {_printable(match['split'])!r}; {hint} Rename the folder")
            continue
        found = list(_files_of_split(root, folder))
        if not found:
            problems.append(f"{folder}: the folder has no {', '.join(CLIP_FILES)} file; copy its clips or remove it")
        problems += [f"{_printable(n)}: the name is not UTF-8; rename it" for n in found if n != _printable(n)]
        files += [name for name in found if name == _printable(name)]
    if not files and not problems:
        hint = "; to use its annotations.json, pass ann_file='annotations.json'" if (root / ANNOTATIONS).is_file() else ""
        raise DatasetNotFoundError(
            f"no clips in data_root={str(root)!r}; expected files like '01-train/0001.npz', {describe_layout(root)}{hint}; "
            "see 'karsl prepare --help'"
        )
    return files


def _printable(name: str) -> str:
    r"""Return a name with bytes that are not UTF-8 as `\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _files_of_split(root: Path, folder: str) -> Iterator[str]:
    """Yield the clip files of a split folder and of its sign folders."""
    with os.scandir(root / folder) as entries:
        found = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
    for name, is_folder in found:
        if is_folder:
            inside = sorted(f for f in os.listdir(root / folder / name) if not f.startswith("."))
            yield from (f"{folder}/{name}/{file}" for file in inside if file.endswith(tuple(CLIP_FILES)))
        elif name.endswith(tuple(CLIP_FILES)):
            yield f"{folder}/{name}"


def _scan_file(
    file: IndexedFile, root: Path, skeleton: Skeleton, label_table: LabelTable | None, read_values: bool
) -> ScanResult:
    sign, problem = _parse_sign(file.name, label_table)
    if problem:
        return ScanResult(problems=[problem])
    signer, _, split = file.name.partition("/")[0].partition("-")
    metadata = {"sign": sign, "signer": signer, "split": split}  # the same strings for all clips of the file
    result = ScanResult(problems=[_without_root(p, root) for p in file.problems])
    if file.members and file.members[0].key is None and file.name.count("/") == 1:
        stem, _, suffix = file.name.rpartition(".")
        return ScanResult(
            problems=[f"{file.name}: one array without a name; move it to a folder of its sign, {stem}/1.{suffix}"]
        )
    for member in file.members:
        problem, is_empty = shape_problem(member.shape, member.dtype, skeleton.num_keypoints), False
        if problem is None and read_values:
            problem, is_empty = _check_values(root / file.name, member.key)
        if problem:
            clip = "the clip" if member.key is None else f"clip {member.key!r}"
            result.problems.append(f"{file.name}: {clip} {_without_root(problem, root)}")
            continue
        result.records.append(_to_record(file, member, metadata))
        if is_empty:
            result.empty_clips.append(result.records[-1]["clip_id"])
    return result


def _parse_sign(name: str, label_table: LabelTable | None) -> tuple[int, str | None]:
    """Return the SignID in a file's path, and a problem or None."""
    parts = name.split("/")
    text = parts[1] if len(parts) == 3 else parts[1].rpartition(".")[0]
    if not text.isdigit() or int(text) < 1:
        what, example = ("folder", "'0001'") if len(parts) == 3 else ("file", "'0001.npz'")
        return 0, f"{'/'.join(parts[:2])}: a {what} must be named by its SignID, like {example}; rename it"
    sign = int(text)
    if label_table and sign not in label_table.signs:
        span = f"{label_table.signs[0]}-{label_table.signs[-1]}"
        return sign, f"{name}: sign {sign} is not in the label table ({len(label_table.signs)} signs, {span})"
    return sign, None


def _to_record(file: IndexedFile, member: Member, metadata: dict) -> dict:
    stem = file.name.rpartition(".")[0]
    is_only_clip = member.key is None or (file.name.count("/") == 2 and len(file.members) == 1)
    return {
        "clip_id": stem if is_only_clip else f"{stem}/{member.key}",
        "keypoint_path": file.name,
        **({} if member.key is None else {"keypoint_key": member.key}),
        **metadata,
        "num_frames": int(member.shape[0]),
        **({} if member.range is None else {BYTE_RANGE_KEY: list(member.range)}),
    }


def _check_values(path: Path, key: Key) -> tuple[str | None, bool]:
    """Return a problem of a clip or None, and whether it has no point in any frame."""
    try:
        clip = read_array(path, key)
    except CorruptRecordError as error:
        return f"is damaged: {error}", False
    return value_problem(clip), not clip[..., :3].any()


def _repeated_clips(records: list[dict]) -> list[str]:
    """Return a problem for each clip that a signer has twice."""
    first_files: dict[tuple, str] = {}
    problems = []
    for r in records:
        name, file = r["clip_id"].split("/", 2)[2], r["keypoint_path"]
        first = first_files.setdefault((r["signer"], r["sign"], name), file)
        if first != file:
            same_split = first.partition("/")[0] == file.partition("/")[0]
            harm = "it would count twice" if same_split else "it would be used for training and test"
            problems.append(f"{file}: clip {name!r} is also in {first}; {harm}, remove one")
    return problems


def _without_root(text: str, root: Path) -> str:
    return text.replace(f"{root}/", "")
