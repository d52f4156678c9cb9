"""Warnings about a corpus: clips without a point, folders without some signs, unusual numbers of clips."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from karsl.errors import pluralize
from karsl.formats.karsl.layout import LAST_SIGN
from karsl.io.annotations import record_splits

_MAX_NAMES, _MAX_WARNINGS, _TOLERANCE = 4, 6, 2
Counts = Counter[tuple[tuple[str, str], int]]
"""Number of clips by signer and split, and sign."""


def check_counts(records: Sequence[Mapping], empty_clips: Sequence[str] = ()) -> list[str]:
    """Return one sentence per warning, at most six.

    Args:
        records: Records with `sign`, a number, `signer` and `split`; a clip in several splits counts in each.
        empty_clips: Names of clips without a point in any frame.

    Example:
        >>> clips = [("01", 1), ("01", 2), ("02", 1), ("02", 600)]
        >>> print("\\n".join(check_counts([{"signer": who, "split": "train", "sign": sign} for who, sign in clips])))
        01-train lacks 0600
        02-train lacks 0002
        SignIDs above 502, the last of KArSL: 0600
    """
    counts = Counter(((str(r["signer"]), split), int(r["sign"])) for r in records for split in record_splits(r))
    warnings: list[str] = []
    if empty_clips:
        warnings.append(f"{pluralize(len(empty_clips), 'clip')} without a point in any frame: {_join(empty_clips)}")
    warnings += [*_missing_folders(counts), *_missing_signs(counts)]
    above = sorted({sign for _, sign in counts if sign > LAST_SIGN})
    if above:
        warnings.append(f"SignIDs above {LAST_SIGN}, the last of KArSL: {_join(f'{sign:04d}' for sign in above)}")
    unusual = _unusual_counts(counts)
    if unusual:
        warnings = [*warnings[: _MAX_WARNINGS - 1], unusual]
    return warnings[:_MAX_WARNINGS]


def _missing_folders(counts: Counts) -> list[str]:
    splits: defaultdict[str, set[str]] = defaultdict(set)
    for (signer, split), _ in counts:
        splits[signer].add(split)
    all_splits = set().union(*splits.values())
    return [f"signer {signer} has no {split}" for signer in sorted(splits) for split in sorted(all_splits - splits[signer])]


def _missing_signs(counts: Counts) -> list[str]:
    """Return a warning for each folder that lacks signs of other folders."""
    signs: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for folder, sign in counts:
        signs[folder].add(sign)
    all_signs = set().union(*signs.values())
    missing = {"-".join(folder): sorted(all_signs - signs[folder]) for folder in sorted(signs)}
    return [f"{folder} lacks {_join(f'{s:04d}' for s in absent)}" for folder, absent in missing.items() if absent]


def _unusual_counts(counts: Counts) -> str:
    """Return a warning about signs with less than half or more than 1.5 times the median of their split.

    Differences of up to `_TOLERANCE` clips are ignored.
    """
    by_split: defaultdict[str, list[int]] = defaultdict(list)
    for ((_, split), _), count in counts.items():
        by_split[split].append(count)
    medians = {split: median(numbers) for split, numbers in by_split.items()}
    unusual = []
    for (folder, sign), count in sorted(counts.items()):
        usual = medians[folder[1]]
        if not usual / 2 <= count <= usual * 3 / 2 and abs(count - usual) > _TOLERANCE:
            unusual.append(f"{'-'.join(folder)}/{sign:04d} has {count}")
    text = " and ".join(f"{number:g} in {split}" for split, number in sorted(medians.items()))
    return f"unusual numbers of clips: {_join(unusual)}; the median is {text}" if unusual else ""


def _join(names: Iterable[str]) -> str:
    """Join up to four names.

    Example:
        >>> _join("abcdef")
        'a, b, c, d and 2 more'
    """
    names = list(names)
    more = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
