"""Memory-mapped block of the reference KArSL project: one raw file per split, and a pickled table of lengths.

| file | content |
| --- | --- |
| `{split}_X.mmap` | float32 (frames, 184, 4), raw: all clips, ordered by sign, then signer |
| `{split}_X_shape.npy` | shape of the block |
| `{split}_y.npz` | SignIDs, one per clip |
| `{split}_X_map_samples_lens.npy` | pickled dict of SignID to signer to clip lengths, in the order of the block |

The offset of a clip is the sum of the lengths of all clips before it in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from karsl.errors import CorruptRecordError, DataErrors, DatasetNotFoundError
from karsl.formats.base import register_format
from karsl.formats.safe_pickle import Trusted, check_trusted, load_safe_pickle
from karsl.io.annotations import class_metainfo
from karsl.io.clip import canonical_clip
from karsl.io.file_list import visible_files
from karsl.io.labels import find_label_table, read_label_table
from karsl.io.missing import STRICT, MissingPoints
from karsl.io.npy import BROKEN
from karsl.io.npz import list_members, read_member
from karsl.io.sources import FunctionSource
from karsl.skeletons import Skeleton, describe_skeleton, get_skeleton

BLOCK, SHAPE, SIGNS, LENGTHS = "_X.mmap", "_X_shape.npy", "_y.npz", "_X_map_samples_lens.npy"


def _read_clip(root: Path, num_keypoints: int, missing: MissingPoints, record: dict) -> np.ndarray:
    path, start, count = root / record["file"], record["frame"], record["num_frames"]
    row_bytes = 4 * 4 * num_keypoints
    if path.stat().st_size < (start + count) * row_bytes:
        raise CorruptRecordError(f"{path}: no frames {start} to {start + count}; was it truncated after it was opened?")
    raw = np.memmap(path, np.float32, mode="r", offset=start * row_bytes, shape=(count, num_keypoints, 4))
    return canonical_clip(missing.clear(raw), where=f"{path}: clip {record['clip_id']!r}")


@register_format(
    "karsl-block",
    description="{split}_X.mmap and three more files: block of the reference KArSL project; read with --trust-pickle FILE",
    cannot_store="everything",
    detect=lambda path: any(file.name.endswith(BLOCK) for file in visible_files(path)),
    priority=50,
    uses_label_table=True,
)
def open_karsl_block(
    path: Path,
    *,
    skeleton: Skeleton | None = None,
    trusted: Trusted = (),
    label_table: Path | None = None,
    missing: MissingPoints = STRICT,
    **_: Any,
) -> FunctionSource:
    """Open all splits of a folder. Glosses come from the label table, by default the one in the folder.

    Raises:
        ConfigError: If the tables of lengths are not trusted.
        DatasetNotFoundError: If the folder has no block, or a block has no table of lengths.
        DataErrors: If files contradict each other, with all problems.
    """
    root = path if path.is_dir() else path.parent
    splits = [file.name.removesuffix(BLOCK) for file in visible_files(root) if file.name.endswith(BLOCK)]
    if not splits:
        raise DatasetNotFoundError(f"no file like 'train{BLOCK}' in {root}")
    length_files = [root / f"{split}{LENGTHS}" for split in splits]
    check_trusted([file for file in length_files if file.is_file()], trusted)
    points = skeleton or get_skeleton("karsl_184")
    records: list[dict] = []
    problems: list[str] = []
    for split in splits:
        found = list(_records(root, split, trusted=trusted))
        problems += _problems(root, split, found, points)
        records += found
    signs = tuple(sorted({r["sign"] for r in records}))
    label = {sign: i for i, sign in enumerate(signs)}
    table_path = label_table or find_label_table(root)
    table = read_label_table(table_path) if table_path else None
    problems += [f"sign {s} is not in the label table {table_path}" for s in signs if table and s not in table.signs]
    if problems:
        raise DataErrors(str(root), problems)
    metainfo = {"dataset_name": "karsl", "skeleton": describe_skeleton(points), **class_metainfo(signs, table)}
    labeled = [{**r, "label": label[r["sign"]]} for r in records]
    return FunctionSource(metainfo, points, labeled, partial(_read_clip, root, points.num_keypoints, missing))


def _records(root: Path, split: str, *, trusted: Trusted) -> Iterator[dict]:
    """Yield records in the order of the block, since each clip starts where its predecessor ends."""
    frame = 0
    for sign, signers in _load_lengths(root / f"{split}{LENGTHS}", trusted=trusted).items():
        for signer, lengths in signers.items():
            folder = f"{int(signer):02d}-{split}"
            for number, length in enumerate(lengths):
                yield {
                    "clip_id": f"{folder}/{int(sign):04d}/{number:03d}",
                    "sign": int(sign),
                    "signer": f"{int(signer):02d}",
                    "split": split,
                    "num_frames": int(length),
                    "file": f"{split}{BLOCK}",
                    "frame": frame,
                }
                frame += int(length)


def _load_lengths(path: Path, *, trusted: Trusted) -> dict[Any, dict[Any, list]]:
    if not path.is_file():
        raise DatasetNotFoundError(f"no {path}; the block cannot be read without the lengths of its clips")
    table = load_safe_pickle(path, trusted=trusted, skip=_skip_npy_header)
    with suppress(AttributeError, TypeError):
        if all(isinstance(n, int) and n > 0 for signers in table.values() for ns in signers.values() for n in ns):
            return table
    raise CorruptRecordError(f"{path}: not a dict of SignID to signer to lengths above 0; create the block again")


def _skip_npy_header(stream: Any) -> None:
    """Move a stream to the pickle of a `.npy` file of objects."""
    npy.read_magic(stream)
    npy.read_array_header_1_0(stream)


def _problems(root: Path, split: str, records: list[dict], points: Skeleton) -> Iterator[str]:
    """Yield contradictions between the size of the block, its shape, the lengths and the SignIDs."""
    frames, block = sum(r["num_frames"] for r in records), root / f"{split}{BLOCK}"
    expected = (frames, points.num_keypoints, 4)
    shape_file, sign_file = root / f"{split}{SHAPE}", root / f"{split}{SIGNS}"
    shape = _load_shape(shape_file) if shape_file.is_file() else expected
    if shape != expected:
        yield f"{shape_file.name} says {shape}, the lengths of the clips {expected}"
    size = 4 * int(np.prod(expected))
    if block.stat().st_size != size:
        yield f"{block.name} has {block.stat().st_size} bytes, but the clip lengths require {size}; was it truncated?"
    signs = np.array([r["sign"] for r in records])
    members = list_members(sign_file)[0] if sign_file.is_file() else None
    stored = signs if members is None else read_member(sign_file, str(members[0].key or "")) if members else np.zeros(0)
    if not np.array_equal(stored, signs):
        yield f"{sign_file.name} has other signs than the table of lengths, so clips would get wrong labels"


def _load_shape(path: Path) -> tuple[int, ...]:
    try:
        return tuple(int(n) for n in np.load(path, allow_pickle=False))
    except BROKEN as error:
        raise CorruptRecordError(f"{path}: not a readable .npy file of a shape ({error}); create the block again") from error
