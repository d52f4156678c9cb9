"""The reference project's mapped block: raw frames of a split one after the other, lengths in a pickled dict.

| file | holds |
| --- | --- |
| `{split}_X.mmap` | float32 (F, 184, 4), without a header |
| `{split}_X_shape.npy` | (F, 184, 4) |
| `{split}_y.npz` | SignID of each clip, `arr_0` |
| `{split}_X_map_samples_lens.npy` | `{SignID: {signer: [frames of each clip]}}`, pickled |

Clips lie in the order of the dict: signs outside, signers inside. Where a clip begins follows from the lengths of all clips
before it, so the whole dict is always walked, whatever is wanted of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import CorruptRecordError, DatasetNotFoundError
from karsl.skeletons import Skeleton, describe_skeleton, get_skeleton
from karsl.storage.annotation import class_metainfo
from karsl.storage.convert.plain_pickle import load_pickled_array
from karsl.storage.convert.source import Clips
from karsl.storage.files import list_clips
from karsl.storage.labels import find_label_sheet, read_label_sheet
from karsl.storage.npy import MappedFiles, array_of
from karsl.storage.npz import read_member
from karsl.storage.record import canonical_clip

LENGTHS = "_X_map_samples_lens.npy"


def pickles_in(path: Path) -> list[Path]:
    """The pickled dicts of a folder, which are read only when the user trusts them; empty for another folder."""
    return sorted(path.glob(f"*{LENGTHS}")) if path.is_dir() else []


def open_reference(path: Path, *, skeleton: Skeleton | None = None, trusted: bool = False) -> Clips:
    """Open the blocks of a folder.

    Args:
        path: Folder with the files of one split or several.
        skeleton: Of the frames; karsl_184 if not given.
        trusted: The user trusts the pickled dicts; even then only plain data in them are rebuilt.

    Raises:
        ConfigError: Not trusted.
        CorruptRecordError: The files of a split do not agree.
        DatasetNotFoundError: No block in the folder.
    """
    points = skeleton or get_skeleton("karsl_184")
    splits = [found.name.removesuffix(LENGTHS) for found in pickles_in(path)]
    if not splits:
        raise DatasetNotFoundError(f"no block in {str(path)!r}; expected files like train_X.mmap and train{LENGTHS}")
    records = [r for split in splits for r in _records(path, split, points, trusted)]
    sheet_path = find_label_sheet(path)
    signs = tuple(sorted({r["sign"] for r in records}))
    label = {sign: i for i, sign in enumerate(signs)}
    metainfo = {"dataset_name": "karsl", "skeleton": describe_skeleton(points)}
    metainfo |= class_metainfo(signs, read_label_sheet(sheet_path) if sheet_path else None)
    return Clips(
        metainfo, points, [{**r, "label": label[r["sign"]]} for r in records], _BlockReader(path, points.num_keypoints)
    )


@dataclass(frozen=True)
class _BlockReader:
    """Maps the blocks in the process that reads."""

    folder: Path
    num_keypoints: int
    maps: MappedFiles = field(default_factory=MappedFiles, repr=False, compare=False)

    def __call__(self, record: dict) -> np.ndarray:
        path = self.folder / record["block"]
        frames = self.maps.bytes(str(path)).view("<f4").reshape(-1, self.num_keypoints, 4)
        start = record["first_frame"]
        return canonical_clip(frames[start : start + record["num_frames"]], where=f"{path}: clip {record['clip_id']!r}")


def _records(folder: Path, split: str, skeleton: Skeleton, trusted: bool) -> Iterator[dict]:
    block = f"{split}_X.mmap"
    lengths = list(_lengths(folder / f"{split}{LENGTHS}", trusted))
    _check(folder, split, lengths, skeleton)
    start, seen = 0, dict.fromkeys(((sign, signer) for sign, signer, _ in lengths), 0)
    for sign, signer, frames in lengths:
        seen[sign, signer] += 1
        yield {
            "clip_id": f"{signer:02d}-{split}/{sign:04d}/{seen[sign, signer]:03d}",
            "sign": sign,
            "signer": f"{signer:02d}",
            "split": split,
            "num_frames": frames,
            "block": block,
            "first_frame": start,
        }
        start += frames


def _lengths(path: Path, trusted: bool) -> Iterator[tuple[int, int, int]]:
    """(SignID, signer, frames) of every clip, in the order of the file."""
    found: Any = load_pickled_array(path, trusted=trusted)
    try:
        for sign, signers in found.items():
            for signer, lengths in signers.items():
                for frames in lengths:
                    yield int(sign), int(signer), int(frames)
    except (AttributeError, TypeError, ValueError) as error:
        raise CorruptRecordError(f"{path}: not {{SignID: {{signer: [frames]}}}} ({error}); write the block again") from error


def _check(folder: Path, split: str, lengths: list[tuple[int, int, int]], skeleton: Skeleton) -> None:
    block, total = folder / f"{split}_X.mmap", sum(frames for *_, frames in lengths)
    list_clips(folder / f"{split}_X_shape.npy")  # says what is wrong with the file
    shape = tuple(int(n) for n in array_of((folder / f"{split}_X_shape.npy").read_bytes()))
    if shape != (total, skeleton.num_keypoints, 4) or block.stat().st_size != 4 * int(np.prod(shape)):
        raise CorruptRecordError(
            f"{block}: {block.stat().st_size} bytes, shape {shape} beside it, and lengths of {total} frames do not belong "
            f"together for {skeleton.num_keypoints} points; write the block again, or give the right skeleton"
        )
    signs = read_member(folder / f"{split}_y.npz", "arr_0")
    if signs.tolist() != [sign for sign, *_ in lengths]:
        raise CorruptRecordError(
            f"{folder / f'{split}_y.npz'}: SignIDs are not those of {split}{LENGTHS} in number or order, nobody can tell "
            "where a clip lies; write the block again"
        )
