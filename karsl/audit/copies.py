"""Clips that are in a corpus twice: of equal content, or nearly, after a cut, noise, rounding, or another frame rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from xxhash import xxh3_128_digest

from karsl.audit.landmarks import Landmarks
from karsl.audit.measures import NO_HASH

_MAX_MOMENTS, _MAX_POINTS = 0.015, 0.02  # shoulder widths: of candidates, and of clips that are nearly the same
_MIN_OVERLAP = 0.7  # of the shorter clip
_NUM_AXES = 3  # of the grid in which candidates are searched

Read = Callable[[int], np.ndarray]


def find_copies(
    figures: np.ndarray, usable: np.ndarray, read: Read, marks: Landmarks
) -> tuple[list[list[int]], list[list[int]]]:
    """Find clips of equal content, and clips of nearly the same content.

    Args:
        figures: `FIGURES` of the clips.
        usable: bool (N,), clips to compare; others are never copies.
        read: Returns the canonical clip at a position. Called for clips with similar figures only.
        marks: Points of their skeleton.

    Returns:
        Groups of positions of equal clips, ascending, and groups of similar ones. Of equal clips, the first represents the
        others in the second list.
    """
    order = np.flatnonzero(usable)
    candidates = {*_close_pairs(figures["moments"][order], _MAX_MOMENTS), *_sharing_pairs(figures["hashes"][order])}
    pairs = sorted((int(order[a]), int(order[b])) for a, b in candidates)
    clips = _Clips(figures, read, marks)
    equal, similar = _Groups(), _Groups()
    for a, b in pairs:
        if clips.digest(a) == clips.digest(b):
            equal.join(a, b)
    for a, b in pairs:
        a, b = equal.first(a), equal.first(b)
        if (
            a != b
            and similar.first(a) != similar.first(b)
            and point_distance(clips.points(a), clips.points(b)) < _MAX_POINTS
        ):
            similar.join(a, b)
    return equal.groups(), similar.groups()


class _Clips:
    """Clips that are compared, each read once at most; the last few are kept."""

    def __init__(self, figures: np.ndarray, read: Read, marks: Landmarks) -> None:
        self._figures, self._read, self._marks = figures, read, marks
        self._digests: dict[int, bytes] = {}
        self._points: dict[int, np.ndarray] = {}

    def digest(self, position: int) -> bytes:
        """Return a hash of the values of a clip."""
        self._load(position)
        return self._digests[position]

    def points(self, position: int) -> np.ndarray:
        """Return the compared points of a clip, float32 (T, K, 2), in units of its scale."""
        self._load(position)
        return self._points[position]

    def _load(self, position: int) -> None:
        if position in self._points:
            return
        clip = np.ascontiguousarray(self._read(position))
        self._digests[position] = xxh3_128_digest(clip.data) + repr(clip.shape).encode()
        row = self._figures[position]
        chosen = clip[:, self._marks.followed[self._marks.path[1]]].astype(np.float32)
        relative = (chosen[..., :2] - row["center"]) / row["scale"]
        self._points[position] = np.where(chosen[..., 3:] > 0, relative, np.float32(np.nan))


class _Groups:
    """Groups of positions that are joined pair by pair."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def first(self, position: int) -> int:
        """Return the smallest position in the group of a position."""
        while (parent := self._parent.get(position, position)) != position:
            position = parent
        return position

    def join(self, a: int, b: int) -> None:
        """Join the groups of two positions."""
        low, high = sorted((self.first(a), self.first(b)))
        self._parent.setdefault(low, low)
        self._parent[high] = low
        for position in (a, b):
            self._parent.setdefault(position, low)

    def groups(self) -> list[list[int]]:
        """Return the groups, each ascending."""
        members: dict[int, list[int]] = {}
        for position in sorted(self._parent):
            members.setdefault(self.first(position), []).append(position)
        return list(members.values())


def point_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return how far the points of two clips are apart in most common frames, if aligned in time as well as possible.

    Args:
        a, b: float (T, K, 2), NaN where missing.

    Returns:
        Median over frames of the mean distance, infinite if they have nothing in common.

    Example:
        >>> a = np.arange(20.0).reshape(10, 1, 2)
        >>> point_distance(a, a[2:]), round(point_distance(a, a + 3), 3)
        (0.0, 1.414)
    """
    a, b = sorted((a, b), key=len)
    least = int(np.ceil(_MIN_OVERLAP * len(a)))
    best = np.inf
    stretched = b[np.linspace(0, len(b) - 1, len(a)).round().astype(int)]
    alignments = [(a, stretched)]
    for shift in range(least - len(a), len(b) - least + 1):
        alignments.append((a[max(-shift, 0) : len(b) - shift], b[max(shift, 0) : max(shift, 0) + len(a) - max(-shift, 0)]))
    for first, second in alignments:
        gap = np.sqrt(np.square(first - second).sum(-1))
        known = gap == gap
        count = known.sum(-1)
        if (count > 0).sum() >= least:
            frames = np.where(known, gap, 0).sum(-1)[count > 0] / count[count > 0]
            best = min(best, float(np.median(frames)))
    return best


def _sharing_pairs(hashes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield pairs of rows with an equal value in a column: each row with the next one that has it."""
    for column in hashes.T:
        order = np.argsort(column, kind="stable")
        equal = (column[order[1:]] == column[order[:-1]]) & (column[order[1:]] != NO_HASH)
        yield from zip(order[:-1][equal].tolist(), order[1:][equal].tolist(), strict=True)


def _close_pairs(values: np.ndarray, distance: float) -> Iterator[tuple[int, int]]:
    """Yield the pairs of rows whose root mean square distance is at most `distance`.

    Rows are sorted into the cells of a grid along the axes of largest variance; only neighboring cells are compared.
    """
    if len(values) < 2:
        return
    radius = distance * np.sqrt(values.shape[1])
    centered = values - values.mean(0)
    _, axes = np.linalg.eigh(centered.T @ centered)
    cells = np.floor(centered @ axes[:, -_NUM_AXES:] / radius).astype(np.int64)
    cells -= cells.min(0) - 1
    size = cells.max(0) + 2
    keys = np.ravel_multi_index(cells.T, size)
    order = np.argsort(keys, kind="stable")
    keys, rows = keys[order], values[order]
    steps = np.stack(np.meshgrid(*[(-1, 0, 1)] * _NUM_AXES, indexing="ij"), -1).reshape(-1, _NUM_AXES)
    offsets = np.ravel_multi_index((steps + 1).T, size) - np.ravel_multi_index((1,) * _NUM_AXES, size)
    for offset in offsets[offsets >= 0].tolist():
        first, last = np.searchsorted(keys, keys + offset, "left"), np.searchsorted(keys, keys + offset, "right")
        if offset == 0:
            first = np.arange(len(keys)) + 1  # each pair once
        counts = np.maximum(last - first, 0)
        for start, stop in _chunks(counts):
            a = np.repeat(np.arange(start, stop), counts[start:stop])
            position = np.arange(len(a)) - np.repeat(np.cumsum(counts[start:stop]) - counts[start:stop], counts[start:stop])
            b = first[a] + position
            near = np.square(rows[a] - rows[b]).sum(-1) <= radius**2
            yield from (
                (min(i, j), max(i, j)) for i, j in zip(order[a[near]].tolist(), order[b[near]].tolist(), strict=True)
            )


def _chunks(counts: np.ndarray, size: int = 1 << 18) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows with about `size` pairs each, so that memory is bounded."""
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        stop = int(np.searchsorted(ends, (ends[start - 1] if start else 0) + size, "right"))
        stop = max(stop, start + 1)
        yield start, stop
        start = stop
