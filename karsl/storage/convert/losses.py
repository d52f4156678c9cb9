"""What a conversion cannot keep: counted while clips are written, said in one line for each kind, refused when strict."""

from __future__ import annotations

import numpy as np

from karsl.errors import ConfigError

SENTENCES = {
    "z": "depth is not 0, and this form holds x and y only",
    "score": "scores other than 1 are not kept; points that are there come back with score 1",
    "mask": "points exactly at the origin cannot be told from missing ones and come back missing",
}


class Losses:
    """Kinds of loss, each with the number of clips it happened to.

    Args:
        form: Name of the form that is written, for errors.
        strict: Refuse the first loss.

    Example:
        >>> losses = Losses("spoter")
        >>> for clip_id in "ab":
        ...     losses.add("z", clip_id)
        >>> losses.lines(3)
        ('z: depth is not 0, and this form holds x and y only (2 of 3 clips)',)
    """

    def __init__(self, form: str, *, strict: bool = False) -> None:
        self.form, self.strict = form, strict
        self._counts: dict[tuple[str, str], int] = {}

    def add(self, kind: str, clip_id: str, sentence: str = "") -> None:
        """Note a loss of one clip.

        Args:
            kind: One word, such as `'z'`.
            clip_id: Of the clip.
            sentence: What is lost; default is the one of `SENTENCES`.

        Raises:
            ConfigError: When strict.
        """
        text = sentence or SENTENCES[kind]
        if self.strict:
            raise ConfigError(
                f"{self.form} cannot hold clip {clip_id!r} as it is ({kind}: {text}); leave out --strict to lose that"
            )
        self._counts[kind, text] = self._counts.get((kind, text), 0) + 1

    def lines(self, num_clips: int) -> tuple[str, ...]:
        """One line for each kind, in the order in which they were met."""
        return tuple(f"{kind}: {text} ({count} of {num_clips} clips)" for (kind, text), count in self._counts.items())

    def check(self, clip: np.ndarray, clip_id: str, keeps: frozenset[str]) -> None:
        """Note what a form that keeps only some things loses of a clip; points that it would show as missing become so.

        Args:
            clip: Canonical, (T, V, 4), on the form's skeleton; edited.
            clip_id: Of the clip.
            keeps: Of `'z'`, `'score'` and `'mask'` (missing points are marked, rather than written as zeros).
        """
        seen = clip[..., 3] > 0
        if "z" not in keeps and clip[..., 2][seen].any():
            self.add("z", clip_id)
        if "score" not in keeps and (clip[..., 3][seen] != 1).any():
            self.add("score", clip_id)
        lost = unmarked_points(clip, keeps)
        if lost.any():
            self.add("mask", clip_id)
            clip[lost] = 0


def unmarked_points(clip: np.ndarray, keeps: frozenset[str]) -> np.ndarray:
    """bool (T, V), points that are there and that a form would show as missing, since all that it keeps of them is 0.

    Example:
        >>> clip = np.array([[[0, 0, 0.5, 1], [0.5, 0, 0, 1], [0, 0, 0, 0]]])
        >>> unmarked_points(clip, frozenset()).tolist(), unmarked_points(clip, frozenset({"z"})).tolist()
        ([[True, False, False]], [[False, False, False]])
    """
    if "mask" in keeps:
        return np.zeros(clip.shape[:2], bool)
    return (clip[..., 3] > 0) & (clip[..., : 3 if "z" in keeps else 2] == 0).all(-1)
