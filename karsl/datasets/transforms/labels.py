"""Transforms of labels to those of other classes, and to SignIDs, glosses and token ids."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from karsl.datasets.transforms.base import KeypointTransform, Params
from karsl.errors import ConfigError, pluralize
from karsl.io import read_label_table
from karsl.registry import TRANSFORMS
from karsl.skeletons import Skeleton

_LANGUAGES = {"english": "classes", "arabic": "classes_ar"}
TARGETS = ("sign", *_LANGUAGES)
TOKENS = ("character", "word")


class MapLabels(KeypointTransform):
    """Replace `label` by a lookup table; samples without a label stay as they are.

    Modified Keys:
        label

    Args:
        lookup: int64 (K,), the new label of each label; -1 where there is none.

    Example:
        >>> MapLabels(np.array([4, 2]))({"label": 1})
        {'label': 2}
    """

    modified_keys = ("label",)

    def __init__(self, lookup: np.ndarray) -> None:
        self.lookup = lookup

    def __call__(self, results: dict) -> dict:
        """Replace the label, without random numbers."""
        return {**results, **self.apply(results, {})}

    def apply(self, results: dict, params: Params) -> dict:
        return {} if results.get("label") is None else {"label": int(self.lookup[int(results["label"])])}

    def __repr__(self) -> str:
        return f"MapLabels({pluralize(len(self.lookup), 'class')})"


def relabel(record: dict, steps: Sequence[Callable]) -> dict:
    """Return a record with the label that its sample has after some transforms."""
    for step in steps:
        if isinstance(step, MapLabels):
            record = step(record)
    return record


def relabel_all(labels: np.ndarray, steps: Sequence[Callable]) -> np.ndarray:
    """Return labels as they are after some transforms, int64 (N,)."""
    for step in steps:
        if isinstance(step, MapLabels):
            labels = step.lookup[labels]
    return labels


@TRANSFORMS.register_module()
class EncodeGloss(KeypointTransform):
    """Add the SignID of a label, or its gloss and the token ids of the gloss.

    Token ids start at 1; 0 is free for padding. They number the sorted tokens of all glosses, so they are the same for
    every split of a corpus that shares a label table.

    Required Keys:
        label
    Added Keys:
        sign: int, the SignID; with `target='sign'`.
        gloss: str; with `target='english'` or `'arabic'`.
        gloss_ids: int64 tensor (L,), token ids; with `target='english'` or `'arabic'`.

    Args:
        target: Value to add: `'sign'` (SignID), `'english'` or `'arabic'` (gloss).
        tokens: Unit of a token, `'character'` or `'word'`.
        classes: SignID or gloss of each label: SignIDs with `target='sign'` or a label table. None uses the metainfo of the
            dataset, which MapDataset passes.
        label_table: csv, xlsx or json file with the columns SignID, Sign-Arabic and Sign-English, whose glosses make the
            vocabulary. None uses `classes`.

    Raises:
        ConfigError: If `target` or `tokens` is unknown, or a SignID is not in the label table.
        FileNotFoundError, AnnotationError: If the label table does not exist or is not in its format.
    """

    modified_keys = ("sign", "gloss", "gloss_ids")

    def __init__(
        self,
        target: str = "sign",
        *,
        tokens: str = "character",
        classes: Sequence[int | str] | None = None,
        label_table: str | Path | None = None,
    ) -> None:
        if target not in TARGETS or tokens not in TOKENS:
            raise ConfigError(
                f"EncodeGloss: target={target!r}, tokens={tokens!r}; expected {', '.join(TARGETS)} and {', '.join(TOKENS)}"
            )
        self.target, self.tokens, self.classes, self.label_table = target, tokens, classes, label_table
        self._table = None if label_table is None else read_label_table(label_table)
        self._values: tuple[Any, ...] = ()
        self._vocabulary: dict[str, int] = {}
        if classes is not None:
            self._encode(classes)

    @property
    def vocabulary(self) -> dict[str, int]:
        """Id of each token."""
        return dict(self._vocabulary)

    def bind(self, metainfo: Mapping[str, Any], skeleton: Skeleton | None = None) -> EncodeGloss:
        """Return a copy with the classes of a dataset, unless there are classes already; MapDataset calls it.

        Args:
            metainfo: Metainfo of the dataset, with `signs`, `classes` or `classes_ar`.
            skeleton: Not used.

        Raises:
            ConfigError: If the metainfo lacks the key, or a SignID is not in the label table.
        """
        if self._values:
            return self
        key = "signs" if self.target == "sign" or self._table else _LANGUAGES[self.target]
        if metainfo.get(key) is None:
            remedy = "give label_table" if key != "signs" else "use a corpus with SignIDs"
            raise ConfigError(f"EncodeGloss: the dataset's metainfo has no {key!r} for target={self.target!r}; {remedy}")
        bound = copy.copy(self)
        bound._encode(metainfo[key])
        return bound

    def apply(self, results: dict, params: Params) -> dict:
        if not self._values:
            raise ConfigError("EncodeGloss has no classes; give classes=..., or use it in MapDataset")
        value = self._values[int(results["label"])]
        if self.target == "sign":
            return {"sign": value}
        ids = [self._vocabulary[token] for token in self._split(value)]
        return {"gloss": value, "gloss_ids": torch.tensor(ids, dtype=torch.int64)}

    def _encode(self, classes: Sequence[Any]) -> None:
        """Set the value of each label, and the vocabulary of the glosses."""
        if self.target == "sign":
            self._values = tuple(map(int, classes))
            return
        glosses = tuple(map(str, classes))
        self._values = glosses
        if self._table is not None:
            glosses = self._table.arabic if self.target == "arabic" else self._table.english
            self._values = _glosses_of(classes, self._table.signs, glosses)
        tokens = sorted({token for gloss in glosses for token in self._split(gloss)})
        self._vocabulary = {token: number for number, token in enumerate(tokens, start=1)}

    def _split(self, gloss: str) -> list[str]:
        return gloss.split() if self.tokens == "word" else list(gloss)


def _glosses_of(signs: Sequence[Any], table_signs: Sequence[int], glosses: Sequence[str]) -> tuple[str, ...]:
    gloss = dict(zip(table_signs, glosses, strict=True))
    unknown = [sign for sign in signs if sign not in gloss]
    if unknown:
        raise ConfigError(f"EncodeGloss: the label table has no SignID {unknown[:5]}; is it the table of this corpus?")
    return tuple(gloss[sign] for sign in signs)
