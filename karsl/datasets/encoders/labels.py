"""Labels as sign ids, or as token ids of their glosses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from karsl.datasets.encoders.base import Encoder
from karsl.errors import ConfigError
from karsl.io import read_label_table
from karsl.registry import ENCODERS
from karsl.skeletons import Skeleton

_LANGUAGES = {"english": "classes", "arabic": "classes_ar"}
TARGETS = ("sign", *_LANGUAGES)
TOKENS = ("character", "word")


@ENCODERS.register_module()
class LabelEncoder(Encoder):
    """Gives what a label stands for.

    Required Keys:
        label, an int.
    Added Keys:
        sign: int, the SignID, with `target='sign'`.
        gloss: str, and gloss_ids: int64 tensor (L,), ids of its tokens, with `target='english'` or `'arabic'`.

    Ids start at 1, 0 is free for padding; they number the sorted tokens of all glosses, so they are the same for every
    part of a corpus that shares a label sheet.

    Args:
        target: `'sign'`, `'english'` or `'arabic'`.
        tokens: `'character'` or `'word'`.
        label_sheet: csv, xlsx or json with SignID, Sign-Arabic and Sign-English; its glosses make the vocabulary. None:
            the dataset's classes.

    Raises:
        ConfigError: Another target, or the dataset does not say what a label stands for.
        FileNotFoundError, AnnotationError: The sheet is not there or not in its format.
    """

    def __init__(self, target: str = "sign", *, tokens: str = "character", label_sheet: str | Path | None = None) -> None:
        if target not in TARGETS or tokens not in TOKENS:
            raise ConfigError(
                f"LabelEncoder: target={target!r}, tokens={tokens!r}; expected {', '.join(TARGETS)} and {', '.join(TOKENS)}"
            )
        self.target, self.tokens = target, tokens
        self._sheet = None if label_sheet is None else read_label_table(label_sheet)
        self._values: tuple[Any, ...] = ()
        self.vocabulary: dict[str, int] = {}

    def bind(self, metainfo: Mapping[str, Any], skeleton: Skeleton | None) -> None:
        key = "signs" if self.target == "sign" or self._sheet else _LANGUAGES[self.target]
        values = metainfo.get(key)
        if values is None:
            hint = "give label_sheet" if key != "signs" else "it is not a corpus with SignIDs"
            raise ConfigError(f"LabelEncoder: the dataset's metainfo has no {key!r} for target={self.target!r}; {hint}")
        if self.target == "sign":
            self._values = tuple(map(int, values))
            return
        if self._sheet is None:
            self._values = all_glosses = tuple(map(str, values))
        else:
            all_glosses = self._sheet.arabic if self.target == "arabic" else self._sheet.english
            self._values = _look_up(values, self._sheet.signs, all_glosses)
        found = sorted({token for gloss in all_glosses for token in self._split(gloss)})
        self.vocabulary = {token: number for number, token in enumerate(found, start=1)}

    def encode(self, item: dict) -> dict:
        value = self._values[int(item["label"])]
        if self.target == "sign":
            return {"sign": value}
        ids = [self.vocabulary[token] for token in self._split(value)]
        return {"gloss": value, "gloss_ids": torch.tensor(ids, dtype=torch.int64)}

    def _split(self, gloss: str) -> list[str]:
        return gloss.split() if self.tokens == "word" else list(gloss)


def _look_up(signs: Sequence[int], listed: Sequence[int], glosses: Sequence[str]) -> tuple[str, ...]:
    """The glosses of some signs, where `listed` is the sign of each gloss."""
    gloss = dict(zip(listed, glosses, strict=True))
    absent = [sign for sign in signs if sign not in gloss]
    if absent:
        raise ConfigError(f"LabelEncoder: the label sheet has no SignID {absent[:5]}; is it the sheet of this corpus?")
    return tuple(gloss[sign] for sign in signs)
