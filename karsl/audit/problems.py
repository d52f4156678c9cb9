"""Equal problems of many files, joined to one line each."""

from __future__ import annotations

import re
from collections.abc import Iterable

from karsl.errors import pluralize
from karsl.skeletons import get_skeleton, skeleton_names

_KEYPOINTS = re.compile(r"has (\d+) keypoints, the skeleton (\d+)")
_VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|\([^()]*\)|(?<![\w-])[-+.\d]*\d[\d.e+-]*|[^\s:]*/[^\s:;,]*")
_MAX_PLACES, _MIN_JOINED = 3, 3


def join_problems(problems: Iterable[str]) -> list[str]:
    """Join sentences that differ in names and numbers only; the number of keypoints is not ignored.

    Args:
        problems: Sentences such as "01-train/0001.npz: clip 'a' has no frames, shape (0, 184, 4)".

    Returns:
        A line per kind, in order of first occurrence. Kinds with fewer than three problems are not joined.

    Example:
        >>> files = [f"01-train/{n:04d}.npz: clip 'a' has 33 keypoints, the skeleton 184, shape (9,)" for n in range(5)]
        >>> for line in join_problems(files):
        ...     print(line)  # doctest: +ELLIPSIS
        5 clips with 33 keypoints, the skeleton has 184; ...: 01-train/0000.npz, 01-train/0001.npz, ... and 2 more
        >>> print(*join_problems(f"01-test/{n:04d}.npz: empty file" for n in range(4)), sep="\\n")
        4 of this kind: 01-test/0000.npz: empty file; also 01-test/0001.npz, 01-test/0002.npz, 01-test/0003.npz
    """
    kinds: dict[str, list[str]] = {}
    for problem in problems:
        kinds.setdefault(_kind(problem), []).append(problem)
    lines = []
    for same in kinds.values():
        lines += [_join(same)] if len(same) >= _MIN_JOINED else [_with_skeleton(problem) for problem in same]
    return lines


def _kind(problem: str) -> str:
    """Return a problem without its names and numbers."""
    count = _KEYPOINTS.search(problem)
    if count:
        return count[0]
    where, colon, what = problem.partition(": ")
    return _VARIABLE.sub("*", what if colon else where)


def _join(problems: list[str]) -> str:
    places = list(dict.fromkeys(problem.partition(": ")[0] for problem in problems))
    count = _KEYPOINTS.search(problems[0])
    if count:
        text = (
            f"{pluralize(len(problems), 'clip')} with {count[1]} keypoints, the skeleton has "
            f"{count[2]}; {_suggest(int(count[1]))}"
        )
        return f"{text}: {_list(places)}"
    others = [place for place in places if place != problems[0].partition(": ")[0]]
    return f"{len(problems)} of this kind: {problems[0]}" + (f"; also {_list(others)}" if others else "")


def _with_skeleton(problem: str) -> str:
    count = _KEYPOINTS.search(problem)
    return f"{problem}; {_suggest(int(count[1]))}" if count else problem


def _suggest(count: int) -> str:
    """Return which skeletons have a number of keypoints."""
    names = [name for name in skeleton_names() if get_skeleton(name).num_keypoints == count]
    if not names:
        return f"no known skeleton has {count}, see --source-skeleton"
    return f"{' and '.join(names)} {'has' if len(names) == 1 else 'have'} {count}: --source-skeleton {names[0]}"


def _list(places: list[str]) -> str:
    more = len(places) - _MAX_PLACES
    return ", ".join(places[:_MAX_PLACES]) + (f" and {more} more" if more > 0 else "")
