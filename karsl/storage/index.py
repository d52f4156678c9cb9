"""Scan a KArSL data root into records: `<root>/<signer>-<split>/<sign>.npz`, one array per clip.

Headers alone are read unless asked for values, every problem of every file is collected, and the order of the records
depends on names only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from karsl.errors import CorruptRecordError, DatasetNotFoundError
from karsl.skeletons import Skeleton
from karsl.storage.labels import LabelSheet
from karsl.storage.npz import list_members, read_member
from karsl.storage.record import shape_problem, value_problem

SPLITS = ("train", "test")
_FOLDER = re.compile(r"(?P<signer>\d{2})-(?P<split>.+)")
Progress = Callable[[Iterable, int], Iterable]


@dataclass
class Scan:
    """What a data root holds.

    Attributes:
        records: `clip_id keypoint_path keypoint_key sign signer split num_frames` of every readable clip; paths are
            relative to the root, with `/`.
        problems: One sentence per thing that is wrong.
    """

    records: list[dict] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def signs(self) -> tuple[int, ...]:
        """SignIDs that occur, ascending."""
        return tuple(sorted({r["sign"] for r in self.records}))


def scan_npz_folders(
    root: str | Path,
    *,
    skeleton: Skeleton,
    sheet: LabelSheet | None = None,
    read_values: bool = False,
    progress: Progress | None = None,
) -> Scan:
    """List every clip below a data root.

    Args:
        root: Folder that holds `01-train`, `01-test`, ...
        skeleton: Gives the number of keypoints that a clip must have.
        sheet: If given, a SignID outside it is a problem.
        read_values: Also decode every clip and report NaN, infinity and damaged bytes.
        progress: `progress(files, total)` wraps the iteration over files, for a bar.

    Raises:
        DatasetNotFoundError: No such folder, or none of its folders is named like the layout.
    """
    root = Path(root)
    scan = Scan()
    files = _archives(root, scan.problems)
    clip_problem = _value_problem if read_values else _header_only
    for signer, split, path in progress(files, len(files)) if progress else files:
        try:
            found = _scan_file(path, signer, split, root, skeleton, sheet, clip_problem)
        except CorruptRecordError as error:
            scan.problems.append(_relative(str(error), root))
        else:
            scan.records += found.records
            scan.problems += found.problems
    scan.problems += _clips_in_two_splits(scan.records)
    return scan


def _archives(root: Path, problems: list[str]) -> list[tuple[str, str, Path]]:
    if not root.is_dir():
        raise DatasetNotFoundError(
            f"data_root={str(root)!r} is not a folder; expected one that holds '01-train/0001.npz'; "
            "see 'karsl prepare --help'"
        )
    files = []
    for folder in sorted(p for p in root.iterdir() if p.is_dir()):
        named = _FOLDER.fullmatch(folder.name)
        if not named:
            continue
        if named["split"] not in SPLITS:
            near = get_close_matches(named["split"], SPLITS, n=1)
            hint = f"did you mean {named['signer']}-{near[0]!s}?" if near else f"splits are {SPLITS}"
            problems.append(f"{folder.name}: no split {named['split']!r}; {hint} Rename the folder")
            continue
        npz = sorted(folder.glob("*.npz"))
        if not npz:
            problems.append(f"{folder.name}: the folder holds no .npz file; copy its clips or remove it")
        files += [(named["signer"], named["split"], p) for p in npz if not p.name.startswith(".")]
    if not files and not problems:
        raise DatasetNotFoundError(
            f"no clips in data_root={str(root)!r}; expected files like '01-train/0001.npz'; see 'karsl prepare --help'"
        )
    return files


def _scan_file(
    path: Path,
    signer: str,
    split: str,
    root: Path,
    skeleton: Skeleton,
    sheet: LabelSheet | None,
    clip_problem: Callable[[Path, str], str | None],
) -> Scan:
    where = path.relative_to(root).as_posix()
    if not path.stem.isdigit() or int(path.stem) < 1:
        return Scan(problems=[f"{where}: a file is named by its SignID, like '0001.npz'; rename it"])
    sign = int(path.stem)
    if sheet and sign not in sheet.signs:
        span = f"{sheet.signs[0]}-{sheet.signs[-1]}"
        return Scan(problems=[f"{where}: sign {sign} is not in the label sheet ({len(sheet.signs)} signs, {span})"])
    members, problems = list_members(path)
    scan = Scan(problems=[_relative(p, root) for p in problems])
    for member in members:
        problem = shape_problem(member.shape, member.dtype, skeleton.num_keypoints) or clip_problem(path, member.key)
        if problem:
            scan.problems.append(f"{where}: clip {member.key!r} {_relative(problem, root)}")
            continue
        scan.records.append(
            {
                "clip_id": f"{where.removesuffix('.npz')}/{member.key}",
                "keypoint_path": where,
                "keypoint_key": member.key,
                "sign": sign,
                "signer": signer,
                "split": split,
                "num_frames": int(member.shape[0]),
            }
        )
    return scan


def _header_only(path: Path, key: str) -> None:
    return None


def _value_problem(path: Path, key: str) -> str | None:
    try:
        return value_problem(read_member(path, key))
    except CorruptRecordError as error:
        return f"is damaged: {error}"


def _clips_in_two_splits(records: list[dict]) -> list[str]:
    seen: dict[tuple, str] = {}
    problems = []
    for r in records:
        first = seen.setdefault((r["signer"], r["sign"], r["keypoint_key"]), r["keypoint_path"])
        if first != r["keypoint_path"]:
            problems.append(
                f"{r['keypoint_path']}: clip {r['keypoint_key']!r} is also in {first}; one clip in two splits "
                "would be trained and tested on, remove one"
            )
    return problems


def _relative(text: str, root: Path) -> str:
    return text.replace(f"{root}/", "")
