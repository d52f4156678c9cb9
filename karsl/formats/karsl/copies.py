"""Clips of the same content in a data root, under any names, and which of the copies to keep."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from xxhash import xxh3_128_digest


def content_digest(raw: np.ndarray) -> bytes | None:
    """Return a hash of the values of a clip, (T, V, C), as float32; None if it has no point in any frame.

    Example:
        >>> clip = np.arange(6.0).reshape(1, 2, 3)
        >>> content_digest(clip) == content_digest(clip.astype(np.float32)), content_digest(clip * 0)
        (True, None)
    """
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(raw, np.float32)
    return xxh3_128_digest(values.data) + repr(values.shape).encode() if values[..., :3].any() else None


def group_copies(keys: Sequence[Hashable | None], digest: Callable[[int], bytes | None]) -> list[list[int]]:
    """Return the positions of clips with the same content, one list per content.

    Args:
        keys: A value per clip that is equal for equal content, such as a CRC. None excludes the clip.
        digest: Returns the hash of the content at a position, or None to exclude it. Called only where keys are equal.

    Example:
        >>> group_copies([7, 8, 7, None, 7], lambda position: b"b" if position == 4 else b"a")
        [[0, 2]]
    """
    counts = Counter(keys)
    del counts[None]
    shared = {key for key, count in counts.items() if count > 1}
    by_content: defaultdict[tuple, list[int]] = defaultdict(list)
    for position, key in enumerate(keys) if shared else ():
        content = digest(position) if key in shared else None
        if content is not None:
            by_content[key, content].append(position)
    return [positions for positions in by_content.values() if len(positions) > 1]


def choose_copies(records: Sequence[dict], groups: Sequence[Sequence[int]]) -> tuple[set[int], list[str]]:
    """Return the positions of the copies to leave out, and one sentence for each of them.

    One copy is kept, that of the test split if there is one, so that a test set stays complete. If copies belong to
    different signs, none is kept, since one of the labels is wrong.

    Args:
        records: Records with `clip_id`, `keypoint_path`, `sign` and `split`.
        groups: Result of `group_copies`.

    Example:
        >>> paths = ("01-train/0001.npz", "01-test/0001.npz")
        >>> records = [dict(clip_id=f"{p[:-4]}/a", keypoint_path=p, sign=1, split=p[3:-9]) for p in paths]
        >>> choose_copies(records, [[0, 1]])[1][0][:68]
        "01-train/0001.npz: clip 'a' has the same content as clip '01-test/00"
    """
    left_out, problems = set(), []
    for group in groups:
        first = min(group, key=lambda position: (records[position]["split"] != "test", position))
        is_mislabeled = len({records[position]["sign"] for position in group}) > 1
        for position in group if is_mislabeled else [p for p in group if p != first]:
            other = next(p for p in (first, *group) if p != position)
            left_out.add(position)
            problems.append(_describe(records[position], records[other]))
    return left_out, problems


def _describe(record: dict, other: dict) -> str:
    if record["sign"] != other["sign"]:
        harm = "one of the two signs is wrong, so neither clip can be used"
    elif record["split"] != other["split"]:
        harm = f"it would be used for training and test, so only the copy in {other['split']} can be used"
    else:
        harm = "it would count twice, so only one of them can be used"
    name = record["clip_id"].split("/", 2)[2] if record["clip_id"].count("/") > 1 else record["clip_id"]
    return f"{record['keypoint_path']}: clip {name!r} has the same content as clip {other['clip_id']!r}; {harm}"
