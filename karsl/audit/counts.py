"""What is odd about the clips of a corpus and yet no error: clips without a point, folders that lack signs, odd counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

LAST_SIGN = 502
"""Of KArSL; Sidig et al. 2021, https://doi.org/10.1145/3423420"""
_MOST_NAMED, _MOST_NOTES, _CHANCE = 4, 6, 2


def audit_notes(records: Sequence[Mapping], unseen: Sequence[str] = ()) -> list[str]:
    """One sentence for each odd thing, at most six.

    Args:
        records: With `sign`, `signer` and `split`.
        unseen: Names of clips in which no point was found.

    Example:
        >>> clips = [("01", 1), ("01", 2), ("02", 1), ("02", 600)]
        >>> print("\\n".join(audit_notes([{"signer": who, "split": "train", "sign": sign} for who, sign in clips])))
        01-train lacks 0600
        02-train lacks 0002
        SignIDs above 502, the last of KArSL: 0600
    """
    counts = Counter((f"{r['signer']}-{r['split']}", int(r["sign"])) for r in records)
    number = f"{len(unseen)} clip{'' if len(unseen) == 1 else 's'}"
    notes = [f"{number} in which no point was found in any frame: {_some(unseen)}"] if unseen else []
    notes += [*_lacking_folders(records), *_lacking_signs(counts)]
    above = sorted({sign for _, sign in counts if sign > LAST_SIGN})
    if above:
        notes.append(f"SignIDs above {LAST_SIGN}, the last of KArSL: {_some(f'{sign:04d}' for sign in above)}")
    odd = _odd_counts(counts)
    if odd:
        notes = [*notes[: _MOST_NOTES - 1], odd]
    return notes[:_MOST_NOTES]


def _lacking_folders(records: Sequence[Mapping]) -> list[str]:
    splits: defaultdict[str, set[str]] = defaultdict(set)
    for record in records:
        splits[record["signer"]].add(record["split"])
    everything = set().union(*splits.values())
    return [f"signer {signer} has no {split}" for signer in sorted(splits) for split in sorted(everything - splits[signer])]


def _lacking_signs(counts: Counter[tuple[str, int]]) -> list[str]:
    """Signs that other folders have."""
    signs: defaultdict[str, set[int]] = defaultdict(set)
    for folder, sign in counts:
        signs[folder].add(sign)
    everything = set().union(*signs.values())
    lacking = {folder: sorted(everything - signs[folder]) for folder in sorted(signs)}
    return [f"{folder} lacks {_some(f'{s:04d}' for s in absent)}" for folder, absent in lacking.items() if absent]


def _odd_counts(counts: Counter[tuple[str, int]]) -> str:
    """Signs with less than half, or more than one and a half, of what is usual in their split; a few clips are chance."""
    by_split: defaultdict[str, list[int]] = defaultdict(list)
    for (folder, _), count in counts.items():
        by_split[folder.partition("-")[2]].append(count)
    usual = {split: median(numbers) for split, numbers in by_split.items()}
    odd = []
    for (folder, sign), count in sorted(counts.items()):
        middle = usual[folder.partition("-")[2]]
        if not middle / 2 <= count <= middle * 3 / 2 and abs(count - middle) > _CHANCE:
            odd.append(f"{folder}/{sign:04d} has {count}")
    said = " and ".join(f"{number:g} in {split}" for split, number in sorted(usual.items()))
    return f"unusual numbers of clips: {_some(odd)}; usual are {said}" if odd else ""


def _some(names: Iterable[str]) -> str:
    """Names, at most four.

    Example:
        >>> _some("abcdef")
        'a, b, c, d and 2 more'
    """
    names = list(names)
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
