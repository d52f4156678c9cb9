"""Scan a KArSL data root into records.

| layout | content |
| --- | --- |
| `<signer>-<split>/<sign>.npz` (or `.pt`) | the clips of a sign, one array each |
| `<signer>-<split>/<sign>/<clip>.npz` (or `.npy`, `.pt`) | one file per clip |

Only headers are read unless values are requested. All problems of all files are collected. The order of the records depends
on names only. Clips of the same content are found under any names: by the CRC of their archives, which is confirmed by
reading the clips, or by their values if these are read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from xxhash import xxh3_64_hexdigest

from karsl.errors import CorruptRecordError, DataErrors, DatasetNotFoundError, pluralize
from karsl.formats.karsl.copies import choose_copies, content_digest, group_copies
from karsl.formats.karsl.layout import SPLITS, describe_layout, list_some_files, suggest_fix, suggest_name
from karsl.io.annotations import BYTE_RANGE_KEY
from karsl.io.array_files import read_array
from karsl.io.clip import canonical_clip, shape_problem, value_problem
from karsl.io.file_index import CLIP_FILES, FileIndex, IndexedFile, Progress
from karsl.io.file_list import FOLDER, NOT_UTF8, Unread, has_suffix, list_folder, printable
from karsl.io.labels import LABEL_FILES, LabelTable
from karsl.io.missing import STRICT, MissingPoints, likely_marker, marker_note
from karsl.io.npz import Member, read_range
from karsl.io.pack_reader import ANNOTATIONS
from karsl.skeletons import Skeleton

Visit = Callable[[str, np.ndarray], None]
_FOLDER = re.compile(r"(?P<signer>\d{2})-(?P<split>.+)")


@dataclass
class ScanResult:
    """Content of a data root.

    Attributes:
        records: `clip_id keypoint_path keypoint_key sign signer split num_frames` of every readable clip, and the byte
            range of its array in an archive. Paths are relative to the root, with `/`.
        problems: One sentence per problem.
        notes: One sentence per kind of file or folder that is not read.
        empty_clips: `clip_id` of the records without a point in any frame. Empty unless values were read.
        markers: `clip_id` of the first record that seems to have each marker of missing points. Empty as before.
        contents: For each record, a value that is equal for equal content; None if it is unknown.
    """

    records: list[dict] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    empty_clips: list[str] = field(default_factory=list)
    markers: dict[str, str] = field(default_factory=dict)
    contents: list[Hashable | None] = field(default_factory=list)

    @property
    def signs(self) -> tuple[int, ...]:
        """SignIDs that occur, ascending."""
        return tuple(sorted({r["sign"] for r in self.records}))

    def error(self, root: str | Path, where: str | None = None) -> DataErrors:
        """Return all problems as one error with a remedy; `where` replaces the path of `root` in its first line."""
        remedy = suggest_fix(root, self.problems, has_records=bool(self.records))
        return DataErrors(where or str(root), self.problems, remedy)

    def remove(self, positions: set[int]) -> None:
        """Remove some clips."""
        kept = [position for position in range(len(self.records)) if position not in positions]
        self.records = [self.records[position] for position in kept]
        self.contents = [self.contents[position] for position in kept]

    def add(self, other: ScanResult) -> None:
        """Add the clips of another file."""
        self.records += other.records
        self.problems += other.problems
        self.empty_clips += other.empty_clips
        self.contents += other.contents
        self.markers = {**other.markers, **self.markers}


def scan_npz_folders(
    root: str | Path,
    *,
    skeleton: Skeleton,
    label_table: LabelTable | None = None,
    read_values: bool = False,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
    missing: MissingPoints = STRICT,
    visit: Visit | None = None,
) -> ScanResult:
    """List every clip below a data root.

    Args:
        root: Folder that contains `01-train`, `01-test`, ...
        skeleton: Skeleton of the clips. Their number of keypoints is checked.
        label_table: Table of known signs. A SignID outside it is a problem.
        read_values: Also decode every clip, report NaN, infinity and damaged bytes, and list clips without any point.
        cache_dir: Folder, private to this user, that caches headers. A later scan opens only files that changed.
        progress: `progress(files, total)` wraps the iteration over files.
        missing: Rules that say which points are missing; points that are missing anyway are no problem.
        visit: `visit(clip_id, clip)` is called with each canonical clip that was read and has no problem.

    Raises:
        DatasetNotFoundError: If the folder does not exist or contains no clips in this layout.
    """
    root = Path(root)
    result = ScanResult()
    names = _clip_files(root, result)
    cache = None if cache_dir is None else Path(cache_dir) / f"{xxh3_64_hexdigest(os.fsencode(root.absolute()))}.scan"
    for file in FileIndex.read(root, names, index_file=cache, progress=progress).files:
        result.add(_scan_file(file, root, skeleton, label_table, missing if read_values else None, visit))
    _leave_out_copies(root, result)
    result.notes += [marker_note(marker, clip_id) for marker, clip_id in result.markers.items()]
    return result


def _clip_files(root: Path, result: ScanResult) -> list[str]:
    """Return the paths, relative to the root, of all clip files, and collect problems of names and what is not read."""
    if not root.is_dir():
        raise DatasetNotFoundError(
            f"data_root={str(root)!r} is not a folder; expected one that contains '01-train/0001.npz'; "
            "see 'karsl prepare --help'"
        )
    files: list[str] = []
    unread = Unread()
    folders, others = list_folder(root, unread)
    for folder in folders:
        match = _FOLDER.fullmatch(folder)
        if not match:
            result.notes += _misnamed_folder(root, folder, unread)
        elif match["split"] not in SPLITS:
            near = get_close_matches(match["split"], SPLITS, n=1)
            hint = f"did you mean {match['signer']}-{near[0]!s}?" if near else f"splits are {SPLITS}"
            result.problems.append(f"{printable(folder)}: no split {printable(match['split'])!r}; {hint} Rename the folder")
        else:
            found = unread.with_suffix(_files_of_split(root, folder, unread), CLIP_FILES)
            not_utf8 = unread.names.pop(NOT_UTF8, [])
            if not found and not not_utf8:
                result.problems.append(_without_clips(root, folder))
            result.problems += [f"{name}: the name is not UTF-8; rename it" for name in not_utf8]
            files += found
    for name in unread.with_suffix(others, CLIP_FILES, expected=(*LABEL_FILES, ANNOTATIONS)):
        unread.add("file outside of a folder like '01-train'", name)
    result.notes += unread.notes()
    if not files and not result.problems:
        hint = "; to use its annotations.json, pass ann_file='annotations.json'" if (root / ANNOTATIONS).is_file() else ""
        raise DatasetNotFoundError(
            f"no clips in data_root={str(root)!r}; expected files like '01-train/0001.npz', {describe_layout(root)}{hint}; "
            "see 'karsl prepare --help'"
        )
    return files


def _misnamed_folder(root: Path, folder: str, unread: Unread) -> list[str]:
    """Return a note on a folder that is not named like a split but has clips; collect one without clips."""
    clip = next((file for file in list_some_files(root / folder) if has_suffix(file.name, CLIP_FILES)), None)
    if clip is None:
        unread.add(FOLDER, printable(folder))
        return []
    example = printable(f"{folder}/{clip.as_posix()}")
    return [f"folder {printable(folder)!r} is not read, but has clips, e.g. {example!r}: {suggest_name(example)}"]


def _without_clips(root: Path, folder: str) -> str:
    """Return the problem of a split folder without a clip."""
    suffixes, names = ", ".join(CLIP_FILES), sorted(map(printable, os.listdir(root / folder)))
    if not names:
        return f"{folder}: the folder is empty; copy its clips or remove it"
    shown = ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")
    return f"{folder}: the folder has no {suffixes} file, only {shown}; copy its clips there, or move the folder away"


def _files_of_split(root: Path, folder: str, unread: Unread) -> Iterator[str]:
    """Yield the files of a split folder and of its sign folders, in the order of names."""
    folders, files = list_folder(root / folder, unread, f"{folder}/")
    inner = set(folders)
    for name in sorted([*folders, *files]):
        path = f"{folder}/{name}"
        if name not in inner:
            yield path
            continue
        deeper, inside = list_folder(root / path, unread, f"{path}/")
        yield from (f"{path}/{file}" for file in inside)
        for other in deeper:
            unread.add(FOLDER, f"{path}/{printable(other)}")


def _scan_file(
    file: IndexedFile,
    root: Path,
    skeleton: Skeleton,
    label_table: LabelTable | None,
    missing: MissingPoints | None,
    visit: Visit | None,
) -> ScanResult:
    """Return the clips of a file; their values are read unless `missing` is None."""
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
        problem = shape_problem(member.shape, member.dtype, skeleton.num_keypoints)
        content: Hashable | None = None if member.range is None else member.range.crc
        clip = marker = None
        if problem is None and missing is not None:
            raw, problem = _read_values(root / file.name, member, missing)
            if problem is None:
                content, is_first = content_digest(raw), not result.records
                clip = canonical_clip(raw) if visit or is_first else None
                if clip is not None and is_first:  # one clip of a file is enough to notice
                    marker = likely_marker(clip)
        if problem:
            name = "the clip" if member.key is None else f"clip {member.key!r}"
            result.problems.append(f"{file.name}: {name} {_without_root(problem, root)}")
            continue
        result.records.append(_to_record(file, member, metadata))
        result.contents.append(content)
        clip_id = result.records[-1]["clip_id"]
        if missing is not None and content is None:
            result.empty_clips.append(clip_id)
        if marker:
            result.markers.setdefault(marker, clip_id)
        if visit and clip is not None:
            visit(clip_id, clip)
    return result


def _parse_sign(name: str, label_table: LabelTable | None) -> tuple[int, str | None]:
    """Return the SignID in a file's path, and a problem or None."""
    parts = name.split("/")
    text = parts[1] if len(parts) == 3 else parts[1].rpartition(".")[0]
    if not text.isdecimal() or int(text) < 1:
        what, example = ("folder", "'0001'") if len(parts) == 3 else ("file", "'0001.npz'")
        return 0, f"{'/'.join(parts[:2])}: a {what} must be named by its SignID, like {example}; rename it"
    sign = int(text)
    if label_table and sign not in label_table.signs:
        span = f"{label_table.signs[0]}-{label_table.signs[-1]}"
        return sign, f"{name}: sign {sign} is not in the label table ({pluralize(len(label_table.signs), 'sign')}, {span})"
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


def _read_values(path: Path, member: Member, missing: MissingPoints) -> tuple[np.ndarray, str | None]:
    """Return the values of a clip with zeros for missing points, and a problem or None."""
    try:
        # by its position: an archive of many clips has a directory that takes longer to read than a clip
        raw = None if member.range is None else read_range(path, str(member.key), member.range)
        raw = read_array(path, member.key) if raw is None else raw
    except CorruptRecordError as error:
        return np.zeros((0, 0, 0), np.float32), f"is damaged: {error}"
    values = missing.clear(raw)
    return values, value_problem(values)


def _leave_out_copies(root: Path, result: ScanResult) -> None:
    """Remove clips from a result whose `clip_id` or content another clip has, and add a problem for each."""
    repeated = _repeated_ids(result)
    if repeated:
        result.remove(repeated)

    def digest(position: int) -> bytes | None:
        content, record = result.contents[position], result.records[position]
        if isinstance(content, bytes):
            return content
        try:
            return content_digest(read_array(root / record["keypoint_path"], record.get("keypoint_key")))
        except (CorruptRecordError, FileNotFoundError):
            return None  # reading the clip raises the error

    copies, problems = choose_copies(result.records, group_copies(result.contents, digest))
    result.problems += problems
    if copies:
        result.remove(copies)


def _repeated_ids(result: ScanResult) -> set[int]:
    """Return the positions of clips whose id an earlier clip has, as of '0001/a.npy' and 'a' in '0001.npz'; add problems."""
    ids = [record["clip_id"] for record in result.records]
    repeated: set[int] = set()
    if len(set(ids)) == len(ids):
        return repeated
    first: dict[str, int] = {}
    for position, clip_id in enumerate(ids):
        if first.setdefault(clip_id, position) != position:
            file, other = (result.records[p]["keypoint_path"] for p in (position, first[clip_id]))
            repeated.add(position)
            result.problems.append(f"{file}: clip {clip_id!r} is also in {other}; rename one of the two")
    return repeated


def _without_root(text: str, root: Path) -> str:
    return text.replace(f"{root}/", "")
