"""What choosing needs to know of every clip, in columns: 75,300 clips take 3 MB and no clip is read."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from karsl.datasets.combine.labels import relabelled
from karsl.datasets.filters import normalize_signer
from karsl.visualization.clips.places import ClipPlace, Found, find_clips, metainfo_above

_UNKNOWN = -1
_ALIKE = str.maketrans({"أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ى": "ي", "ئ": "ي", "ؤ": "و", "ة": "ه", "ـ": None})


@dataclass(frozen=True)
class ClipFilter:
    """What to keep; an empty tuple keeps everything.

    Attributes:
        signs: SignIDs, or parts of English or Arabic glosses.
        signers: Names.
        splits: Names.
    """

    signs: tuple[str, ...] = ()
    signers: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = (("sign", self.signs), ("signer", self.signers), ("split", self.splits))
        return " and ".join(f"{name} {' or '.join(wanted)}" for name, wanted in parts if wanted)


class Catalogue:
    """Every clip of a dataset once, however often a wrapper repeats it.

    Args:
        dataset: As for `find_clip`.
        indices: Only these, in this order.

    Attributes:
        outer: int64 (n,), a place of each clip in the dataset.
        clip_ids: Names.
        label, sign, num_frames: int32 (n,); -1 where a record does not say.
        inner: int64 (n,), which of `datasets` reads it.
        file, frame_start: int64 (n,), where it lies in which of `files`; -1 where it lies in no pack.
        signer, split: Names, each with an int16 (n,) of places in them; -1 where a record does not say.

    Raises:
        ConfigError: An index is outside, or the dataset cannot be looked at clip by clip.
    """

    def __init__(self, dataset: Any, indices: Sequence[int] = ()) -> None:
        self._kinds: dict[tuple, int] = {}
        self._inner: list[Found] = []
        self.metainfo: list[Mapping[str, Any]] = []
        names: tuple[dict[str, int], ...] = ({}, {}, {})
        rows, seen, self.clip_ids = [], set(), []
        for outer, found in find_clips(dataset, indices or range(len(dataset))):
            code = self._code(found, dataset)
            if (code, found.at) not in seen:
                seen.add((code, found.at))
                record = relabelled(found.dataset.get_data_info(found.at), found.steps)
                self.clip_ids.append(str(record.get("clip_id", f"clip_{found.at}")))
                keys = ("signer", "split", "keypoint_path" if "frame_start" in record else "")
                codes = [_place(record.get(key), known) for key, known in zip(keys, names, strict=True)]
                numbers = [_number(record.get(key)) for key in ("label", "sign", "num_frames", "frame_start")]
                rows.append((outer, code, found.at, *numbers, *codes))
        table = np.array(rows, dtype=np.int64).reshape(-1, 10)
        self.outer, self._at = table[:, 0].copy(), table[:, 1:3].copy()
        self.label, self.sign, self.num_frames = (table[:, i].astype(np.int32) for i in (3, 4, 5))
        self.inner, self.frame_start, self.file = self._at[:, 0], table[:, 6].copy(), table[:, 9].copy()
        self.signer = list(names[0]), table[:, 7].astype(np.int16)
        self.split = list(names[1]), table[:, 8].astype(np.int16)
        self.files = list(names[2])

    @property
    def datasets(self) -> list[Any]:
        """Those that read clips."""
        return [found.dataset for found in self._inner]

    def __len__(self) -> int:
        return len(self.outer)

    def kinds(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Clips of one kind, of one dataset, label, sign, signer and split, differ in name and length only.

        Returns:
            Places in `rows` of the first clip of each kind, and the kind of each row, both int64.
        """
        columns = (self._at[:, 0], self.label, self.sign, self.signer[1], self.split[1])
        table = np.stack([column[rows].astype(np.int64) for column in columns], axis=1)
        _, first, kind = np.unique(table, axis=0, return_index=True, return_inverse=True)
        return first, kind.reshape(-1)

    def facts(self, row: int) -> tuple[dict[str, Any], Mapping[str, Any]]:
        """What is known of a clip without reading its record again, and the metainfo that gives it glosses."""
        numbers = {"label": self.label, "sign": self.sign, "num_frames": self.num_frames}
        known = {key: int(column[row]) for key, column in numbers.items() if column[row] != _UNKNOWN}
        for key, (names, codes) in (("signer", self.signer), ("split", self.split)):
            if codes[row] != _UNKNOWN:
                known[key] = names[codes[row]]
        return {"clip_id": self.clip_ids[row], **known}, self.metainfo[self._at[row, 0]]

    def place(self, row: int) -> ClipPlace:
        """Where the clip of a row lies."""
        code, index = self._at[row].tolist()
        dataset, _, steps = self._inner[code]
        record = relabelled(dataset.get_data_info(index), steps)
        return ClipPlace(dataset, index, record, self.metainfo[code], steps)

    def rows(self, keep: ClipFilter) -> np.ndarray:
        """int64, the rows that a filter keeps, in order."""
        kept = np.ones(len(self), dtype=bool)
        for wanted, (names, codes) in ((keep.signers, self.signer), (keep.splits, self.split)):
            if wanted:
                called = {normalize_signer(name) for name in wanted}
                kept &= np.isin(codes, [place for place, name in enumerate(names) if normalize_signer(name) in called])
        if keep.signs:
            kept &= np.any([self._is_sign(word) for word in keep.signs], axis=0)
        return np.flatnonzero(kept)

    def _is_sign(self, word: str) -> np.ndarray:
        if word.isdecimal():
            return np.where(self.sign == _UNKNOWN, self.label, self.sign) == int(word)
        found = np.zeros(len(self), dtype=bool)
        for code, about in enumerate(self.metainfo):
            labels = [k for key in ("classes", "classes_ar") for k in glosses_with(word, about.get(key) or ())]
            found |= (self._at[:, 0] == code) & np.isin(self.label, labels)
        return found

    def order(self, rows: np.ndarray, sort: str) -> np.ndarray:
        """Rows by `'index'`, `'sign'` (SignID, else label) or `'length'`; equal ones as they were."""
        if sort == "index":
            return rows
        key = self.num_frames if sort == "length" else np.where(self.sign == _UNKNOWN, self.label, self.sign)
        return rows[np.argsort(key[rows], kind="stable")]

    def summary(self) -> str:
        """How many clips, of what, in a few words."""
        signs = sorted(set(self.sign.tolist()) - {_UNKNOWN})
        parts = [("signs", signs), ("signers", sorted(self.signer[0])), ("splits", sorted(self.split[0]))]
        said = [f"{key} {', '.join(map(str, v[:8]))}{', ...' if len(v) > 8 else ''}" for key, v in parts if v]
        return f"{len(self)} clips" + (f" of {'; '.join(said)}" if said else "")

    def _code(self, found: Found, outer: Any) -> int:
        """A number for each dataset that reads and way up from it."""
        kind = (id(found.dataset), *map(id, found.steps))
        if kind not in self._kinds:
            self._kinds[kind] = len(self._inner)
            self._inner.append(found)
            self.metainfo.append(metainfo_above(found.dataset, outer, found.steps))
        return self._kinds[kind]


def glosses_with(word: str, glosses: Sequence[str]) -> list[int]:
    """Places of the glosses that contain a word, in any of the ways in which it is written.

    Example:
        >>> glosses_with("اسره", ["الأُسرة", "بيت"]), glosses_with("YES", ["no", "Yes"])
        ([0], [1])
    """
    folded = fold(word)
    return [place for place, gloss in enumerate(glosses) if folded in fold(str(gloss))]


def fold(text: str) -> str:
    """Text as it is compared: no case, no vowel marks, one letter for each group of Arabic letters that are mixed up."""
    plain = unicodedata.normalize("NFKD", text.translate(_ALIKE)).casefold()
    return "".join(letter for letter in plain if not unicodedata.combining(letter)).translate(_ALIKE)


def _number(value: Any) -> int:
    return _UNKNOWN if value is None else int(value)


def _place(name: Any, known: dict[str, int]) -> int:
    return _UNKNOWN if name is None else known.setdefault(str(name), len(known))
