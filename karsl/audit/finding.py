"""Kinds of findings of an audit, and their sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from karsl.errors import pluralize

_MAX_NAMES = 4


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Attributes:
        one, many: What is wrong with one clip, and with several.
        remedy: What to do.
        is_problem: True if such a clip harms training or a measured accuracy; `--write-exclude` then leaves it out.
    """

    one: str
    many: str
    remedy: str
    is_problem: bool = True


_LOOK = "look at the clip"
KINDS: dict[str, Kind] = {
    "unreadable": Kind("cannot be read", "cannot be read", "copy or export again"),
    "empty": Kind("has no point in any frame", "have no point in any frame", "extract the keypoints again"),
    "not_finite": Kind("has values that are NaN or infinite", "have values that are NaN or infinite", "export again"),
    "copy": Kind(
        "has the same content as another clip", "have the same content as another clip", "keep one of them, in one split"
    ),
    "near_copy": Kind(
        "is nearly the same as another clip", "are nearly the same as another clip", "keep one of them, in one split"
    ),
    "far": Kind("has values far outside", "have values far outside", "extract or export again"),
    "unit": Kind(
        "has another unit than the corpus, such as pixels",
        "have another unit than the corpus, such as pixels",
        "divide x and y by the size of the picture",
    ),
    "one_frame": Kind("has one frame only", "have one frame only", "export again"),
    "flat": Kind("has all points on one line", "have all points on one line", "export again"),
    "upside_down": Kind("is upside down", "are upside down", "replace y by 1 - y"),
    "rotated": Kind(
        "has shoulders above each other, as with x and y exchanged, or a video that was not rotated",
        "have shoulders above each other, as with x and y exchanged, or a video that was not rotated",
        "exchange x and y, or extract from the rotated video",
    ),
    "mirrored": Kind(
        "is mirrored: the left shoulder is on the left of the picture",
        "are mirrored: the left shoulder is on the left of the picture",
        "replace x by 1 - x, or exchange left and right points",
    ),
    "order": Kind(
        "seems to have another order of points: joined points are far apart",
        "seem to have another order of points: joined points are far apart",
        "check the skeleton, --source-skeleton",
    ),
    "swapped_hands": Kind(
        "has hands at the wrong arms", "have hands at the wrong arms", "'karsl pack --hands by-wrist' exchanges them"
    ),
    "one_hand_twice": Kind(
        "has one hand twice, also at the place of the other",
        "have one hand twice, also at the place of the other",
        "extract the keypoints again",
    ),
    "frozen": Kind("does not move in any frame", "do not move in any frame", "extract the keypoints again"),
    "repeats": Kind(
        "repeats many of its frames", "repeat many of their frames", "remove padding or repeated frames", is_problem=False
    ),
    "gaps": Kind(
        "has no point in most of its frames",
        "have no point in most of their frames",
        "extract the keypoints again",
        is_problem=False,
    ),
    "sorted_by_text": Kind(
        "has frames in the order 1, 10, 11, 2",
        "have frames in the order 1, 10, 11, 2",
        "export again with frames sorted by number",
    ),
    "jumps": Kind(
        "jumps from frame to frame, as with frames in random order",
        "jump from frame to frame, as with frames in random order",
        "export again",
    ),
    "no_hand": Kind("has no hand in any frame", "have no hand in any frame", "extract the keypoints again"),
    "few_hands": Kind(
        "has a hand in less than a tenth of its frames",
        "have a hand in less than a tenth of their frames",
        _LOOK,
        is_problem=False,
    ),
    "no_group": Kind(
        "lacks a part that the corpus has",
        "lack a part that the corpus has",
        "extract the keypoints again",
        is_problem=False,
    ),
    "hand_away": Kind("has a hand far from both arms", "have a hand far from both arms", _LOOK, is_problem=False),
    "no_depth": Kind("has no depth, z is 0", "have no depth, z is 0", "extract like the others", is_problem=False),
    "misfiled": Kind("looks like another sign", "look like another sign", _LOOK),
    "outlier": Kind(
        "is unlike the other clips of its sign", "are unlike the other clips of their sign", _LOOK, is_problem=False
    ),
    "length": Kind(
        "is far longer or shorter than the other clips of its sign",
        "are far longer or shorter than the other clips of their sign",
        _LOOK,
        is_problem=False,
    ),
    "wrong_signer": Kind(
        "has the name of another signer than its folder",
        "have the name of another signer than their folder",
        "move the clip, or correct its name",
    ),
    "wrong_sign": Kind(
        "has the name of another sign than its file",
        "have the name of another sign than their file",
        "move the clip, or correct its name",
    ),
    "name_twice": Kind(
        "has the recording time of another clip of its signer",
        "have the recording time of another clip of their signer",
        "compare them",
        is_problem=False,
    ),
    "fps": Kind("has an unusual frame rate", "have an unusual frame rate", "check the video", is_problem=False),
    "corpus": Kind("", "", "", is_problem=True),
    "counts": Kind("", "", "", is_problem=False),
}
"""Kinds by name, in the order of a report. A finding of `corpus` or `counts` is one sentence about the whole."""


@dataclass(frozen=True)
class Finding:
    """Clips with one kind of fault, or a sentence about the corpus.

    Attributes:
        kind: Key of `KINDS`.
        clips: Positions of the clips in the source, ascending. None for a corpus.
        details: A remark per clip, such as the name of the clip that it equals, or none.
        left_out: Positions that `--write-exclude` leaves out.
        sentence: The sentence of a finding about the corpus.
    """

    kind: str
    clips: tuple[int, ...] = ()
    details: tuple[str, ...] = ()
    left_out: tuple[int, ...] = ()
    sentence: str = ""

    @property
    def is_problem(self) -> bool:
        """True if it harms training or a measured accuracy."""
        return KINDS[self.kind].is_problem

    def text(self, records: Sequence[Mapping]) -> str:
        """Return the finding as a sentence.

        Args:
            records: Records of the source.

        Example:
            >>> Finding("frozen", (0, 2)).text([{"clip_id": name, "signer": "01"} for name in "abc"])
            '2 clips do not move in any frame: a, c; extract the keypoints again'
        """
        if self.sentence:
            return self.sentence
        kind = KINDS[self.kind]
        details = self.details or ("",) * len(self.clips)
        pairs = zip(self.clips, details, strict=True)
        names = [f"{records[position]['clip_id']}{f' ({detail})' if detail else ''}" for position, detail in pairs]
        shared = _shared(self.clips, records)
        what = kind.one if len(self.clips) == 1 else kind.many
        return f"{pluralize(len(self.clips), 'clip')}{shared} {what}: {join_names(names)}; {kind.remedy}"


def make_finding(kind: str, clips: Sequence[int] | np.ndarray, details: Sequence[str] = ()) -> Finding:
    """Return a finding of which all clips are left out if it is a problem."""
    positions = tuple(int(position) for position in clips)
    return Finding(kind, positions, tuple(details), positions if KINDS[kind].is_problem else ())


def _shared(clips: Sequence[int], records: Sequence[Mapping]) -> str:
    """Return the signer or split that some clips have in common, as ' of signer 02', if others have another one."""
    for key in ("signer", "split"):
        values = {str(records[position].get(key)) for position in clips}
        if len(clips) > 1 and len(values) == 1 and values != {"None"} and len({str(r.get(key)) for r in records}) > 1:
            return f" of {key} {values.pop()}"
    return ""


def join_names(names: Sequence[str]) -> str:
    """Join up to four names.

    Example:
        >>> join_names("abcdef")
        'a, b, c, d and 2 more'
    """
    more = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
