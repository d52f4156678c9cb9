"""The mapped block of the reference KArSL project: one raw file a split, and a pickled table of lengths, as a source.

| file | holds |
| --- | --- |
| `{split}_X.mmap` | float32 (frames, 184, 4), raw: every clip of a sign and signer, sign by sign |
| `{split}_X_shape.npy` | the shape of it |
| `{split}_y.npz` | SignIDs, one a clip |
| `{split}_X_map_samples_lens.npy` | a pickled dict of SignID to signer to lengths of clips, in the order of the block |

Where a clip begins follows from the lengths of all that lie before it in the file, whichever signs or signers are wanted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from karsl.errors import CorruptRecordError, DataErrors, DatasetNotFoundError
from karsl.skeletons import Skeleton, describe_skeleton, get_skeleton
from karsl.storage.annotation import class_metainfo
from karsl.storage.clip_source import Clips
from karsl.storage.convert.plain_pickle import Trusted, check_trusted, load_plain
from karsl.storage.labels import find_label_sheet, read_label_sheet
from karsl.storage.npy import BROKEN
from karsl.storage.npz import list_members, read_member
from karsl.storage.record import canonical_clip

BLOCK, SHAPE, SIGNS, LENGTHS = "_X.mmap", "_X_shape.npy", "_y.npz", "_X_map_samples_lens.npy"


@dataclass(frozen=True)
class _FramesReader:
    root: Path
    num_keypoints: int

    def __call__(self, record: dict) -> np.ndarray:
        path, start, count = self.root / record["file"], record["frame"], record["num_frames"]
        row_bytes = 4 * 4 * self.num_keypoints
        if path.stat().st_size < (start + count) * row_bytes:
            raise CorruptRecordError(f"{path}: no frames {start} to {start + count}; was it cut after it was opened?")
        shape = (count, self.num_keypoints, 4)
        raw = np.memmap(path, np.float32, mode="r", offset=start * row_bytes, shape=shape)
        return canonical_clip(raw, where=f"{path}: clip {record['clip_id']!r}")


def open_karsl_block(
    path: Path, *, skeleton: Skeleton | None = None, trusted: Trusted = (), label_sheet: Path | None = None, **_: Any
) -> Clips:
    """Open every split of a folder; a label sheet gives the glosses, and one that lies there is found.

    Raises:
        ConfigError: Not trusted.
        DatasetNotFoundError: No block in the folder, or a file beside it is absent.
        DataErrors: Files that do not fit each other, all at once.
    """
    root = path if path.is_dir() else path.parent
    splits = sorted(p.name.removesuffix(BLOCK) for p in root.glob(f"*{BLOCK}"))
    if not splits:
        raise DatasetNotFoundError(f"no file like 'train{BLOCK}' in {root}")
    tables = [root / f"{split}{LENGTHS}" for split in splits]
    check_trusted([table for table in tables if table.is_file()], trusted)
    points = skeleton or get_skeleton("karsl_184")
    records: list[dict] = []
    problems: list[str] = []
    for split in splits:
        found = list(_clips_of(root, split, trusted=trusted))
        problems += _problems(root, split, found, points)
        records += found
    signs = tuple(sorted({r["sign"] for r in records}))
    label = {sign: i for i, sign in enumerate(signs)}
    sheet_path = label_sheet or find_label_sheet(root)
    sheet = read_label_sheet(sheet_path) if sheet_path else None
    problems += [f"sign {s} is not in the label sheet {sheet_path}" for s in signs if sheet and s not in sheet.signs]
    if problems:
        raise DataErrors(str(root), problems)
    glosses = class_metainfo(signs, sheet)
    metainfo = {"dataset_name": "karsl", "skeleton": describe_skeleton(points), **glosses}
    labelled = [{**r, "label": label[r["sign"]]} for r in records]
    return Clips(metainfo, points, labelled, _FramesReader(root, points.num_keypoints))


def _clips_of(root: Path, split: str, *, trusted: Trusted) -> Iterator[dict]:
    """Records in the order of the block, so that each begins where those before it end."""
    frame = 0
    for sign, signers in _lengths(root / f"{split}{LENGTHS}", trusted=trusted).items():
        for signer, lengths in signers.items():
            for number, length in enumerate(lengths):
                folder = f"{int(signer):02d}-{split}"
                facts = {"sign": int(sign), "signer": f"{int(signer):02d}", "split": split, "num_frames": int(length)}
                yield {
                    "clip_id": f"{folder}/{int(sign):04d}/{number:03d}",
                    **facts,
                    "file": f"{split}{BLOCK}",
                    "frame": frame,
                }
                frame += int(length)


def _lengths(path: Path, *, trusted: Trusted) -> dict[Any, dict[Any, list]]:
    if not path.is_file():
        raise DatasetNotFoundError(f"no {path}; the block cannot be read without the lengths of its clips")
    table = load_plain(path, trusted=trusted, skip=_after_header)
    try:
        if all(isinstance(n, int) and n > 0 for signers in table.values() for ns in signers.values() for n in ns):
            return table
    except (AttributeError, TypeError):
        pass
    raise CorruptRecordError(f"{path}: not a dict of SignID to signer to lengths above 0; make the block again")


def _after_header(stream: Any) -> None:
    """Leave a stream where the pickle of a `.npy` of objects begins."""
    npy.read_magic(stream)
    npy.read_array_header_1_0(stream)


def _problems(root: Path, split: str, records: list[dict], points: Skeleton) -> Iterator[str]:
    """What of a split does not fit: bytes, shape, lengths and SignIDs say the same thing four times."""
    frames, block = sum(r["num_frames"] for r in records), root / f"{split}{BLOCK}"
    expected = (frames, points.num_keypoints, 4)
    shape_file, sign_file = root / f"{split}{SHAPE}", root / f"{split}{SIGNS}"
    shape = _told_shape(shape_file) if shape_file.is_file() else expected
    if shape != expected:
        yield f"{shape_file.name} says {shape}, the lengths of the clips {expected}"
    size = 4 * int(np.prod(expected))
    if block.stat().st_size != size:
        yield f"{block.name} has {block.stat().st_size} bytes, the lengths of the clips say {size}; was it cut?"
    signs = np.array([r["sign"] for r in records])
    told = read_member(sign_file, list_members(sign_file)[0][0].key or "") if sign_file.is_file() else signs
    if not np.array_equal(told, signs):
        yield f"{sign_file.name} names other signs than the table of lengths; clips would be mistaken for each other"


def _told_shape(path: Path) -> tuple[int, ...]:
    try:
        return tuple(int(n) for n in np.load(path, allow_pickle=False))
    except BROKEN as error:
        raise CorruptRecordError(f"{path}: no readable .npy of a shape ({error}); make the block again") from error
