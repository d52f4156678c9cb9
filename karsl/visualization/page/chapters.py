"""KArSL's chapters: which subject a SignID belongs to."""

from __future__ import annotations

from bisect import bisect_right

# First SignID of each chapter (Sidig et al. 2021, doi 10.1145/3423420); the last one ends at 502.
_CHAPTERS = (
    (1, "Numbers"),
    (32, "Letters"),
    (71, "Health"),
    (160, "Common verbs"),
    (192, "Family"),
    (224, "Characteristics"),
    (273, "Directions and places"),
    (289, "Social"),
    (299, "Home"),
    (356, "Religion"),
    (459, "Jobs"),
)
_FIRST = [first for first, _ in _CHAPTERS]


def chapter_of(sign: int) -> str:
    """The chapter of a SignID; empty for one that KArSL does not have.

    Example:
        >>> chapter_of(104), chapter_of(502), chapter_of(503)
        ('Health', 'Jobs', '')
    """
    return _CHAPTERS[bisect_right(_FIRST, sign) - 1][1] if 1 <= sign <= 502 else ""
