"""Selection of clips by sign, signer and split, and their results along the pipeline."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from karsl.datasets.pipeline import Pipeline
from karsl.datasets.records import normalize_signer
from karsl.datasets.transforms.labels import MapLabels, relabel
from karsl.errors import ConfigError, pluralize
from karsl.io.annotations import join_splits
from karsl.visualization.clips.sources import ClipRef, ResolvedClip, find_clips, metainfo_above

SORTS = ("index", "sign", "length")
MODES = ("original", "transformed", "concat", "pipeline")
Stage = tuple[str, Mapping[str, Any]]

_UNKNOWN = -1
_EQUIVALENT = str.maketrans({"أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ى": "ي", "ئ": "ي", "ؤ": "و", "ة": "ه", "ـ": None})


@dataclass(frozen=True)
class ClipFilter:
    """Conditions on clips; an empty tuple accepts all.

    Attributes:
        signs: SignIDs, or substrings of English or Arabic glosses.
        signers: Names of signers.
        splits: Names of splits.
    """

    signs: tuple[str, ...] = ()
    signers: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()

    def __str__(self) -> str:
        conditions = (("sign", self.signs), ("signer", self.signers), ("split", self.splits))
        return " and ".join(f"{name} {' or '.join(values)}" for name, values in conditions if values)


class ClipTable:
    """Columns of metadata of each clip of a dataset, once each even if a wrapper repeats it. No clip is read.

    75,300 clips take 3 MB.

    Args:
        dataset: Dataset as for `find_clips`.
        indices: Only these indices, in this order. Empty uses all.

    Attributes:
        clip_ids: Names of the clips.
        label, sign, num_frames: int32 (n,); -1 if unknown.
        dataset_numbers: int64 (n,), number of the dataset in `datasets` that reads the clip.
        file, frame_start: int64 (n,), number of the pack in `files`, and first frame in it; -1 outside packs.
        signer, split: Names, and int16 (n,) indices into them; -1 if unknown.

    Raises:
        ConfigError: If an index is out of range, or the dataset cannot be browsed.
    """

    def __init__(self, dataset: Any, indices: Sequence[int] = ()) -> None:
        self._codes: dict[tuple, int] = {}
        self._clips: list[ResolvedClip] = []
        self._metainfo: list[Mapping[str, Any]] = []
        names: tuple[dict[str, int], ...] = ({}, {}, {})
        rows, seen, self.clip_ids = [], set(), []
        for _, clip in find_clips(dataset, indices or range(len(dataset))):
            code = self._code(clip, dataset)
            if (code, clip.index) not in seen:
                seen.add((code, clip.index))
                record = relabel(clip.dataset.get_data_info(clip.index), clip.steps)
                self.clip_ids.append(str(record.get("clip_id", f"clip_{clip.index}")))
                keys = ("signer", "split", "keypoint_path" if "frame_start" in record else "")
                values = [join_splits(record) or None if key == "split" else record.get(key) for key in keys]
                codes = [_encode_name(value, known) for value, known in zip(values, names, strict=True)]
                numbers = [_encode_number(record.get(key)) for key in ("label", "sign", "num_frames", "frame_start")]
                rows.append((code, clip.index, *numbers, *codes))
        table = np.array(rows, dtype=np.int64).reshape(-1, 9)
        self.dataset_numbers, self._indices = table[:, 0].copy(), table[:, 1].copy()
        self.label, self.sign, self.num_frames = (table[:, i].astype(np.int32) for i in (2, 3, 4))
        self.frame_start, self.file, self.files = table[:, 5].copy(), table[:, 8].copy(), list(names[2])
        self.signer = list(names[0]), table[:, 6].astype(np.int16)
        self.split = list(names[1]), table[:, 7].astype(np.int16)

    @property
    def datasets(self) -> list[Any]:
        """Innermost datasets."""
        return [clip.dataset for clip in self._clips]

    def __len__(self) -> int:
        return len(self.label)

    def groups(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Group clips of equal dataset, label, sign, signer and split, which differ in name and length only.

        Returns:
            Position in `rows` of the first clip of each group, and the group of each row, both int64.
        """
        columns = (self.dataset_numbers, self.label, self.sign, self.signer[1], self.split[1])
        table = np.stack([column[rows].astype(np.int64) for column in columns], axis=1)
        _, first, group = np.unique(table, axis=0, return_index=True, return_inverse=True)
        return first, group.reshape(-1)

    def metadata(self, row: int) -> tuple[dict[str, Any], Mapping[str, Any]]:
        """Return the known values of a clip without reading its record, and the metainfo with its glosses."""
        numbers = {"label": self.label, "sign": self.sign, "num_frames": self.num_frames}
        known = {key: int(column[row]) for key, column in numbers.items() if column[row] != _UNKNOWN}
        for key, (names, codes) in (("signer", self.signer), ("split", self.split)):
            if codes[row] != _UNKNOWN:
                known[key] = names[codes[row]]
        return {"clip_id": self.clip_ids[row], **known}, self._metainfo[self.dataset_numbers[row]]

    def clip_ref(self, row: int) -> ClipRef:
        """Return a reference to the clip of a row."""
        code, index = int(self.dataset_numbers[row]), int(self._indices[row])
        clip = self._clips[code]
        record = relabel(clip.dataset.get_data_info(index), clip.steps)
        return ClipRef(clip.dataset, index, record, self._metainfo[code], clip.steps)

    def rows(self, clip_filter: ClipFilter) -> np.ndarray:
        """Return the rows that a filter accepts, int64, ascending."""
        accepted = np.ones(len(self), dtype=bool)
        for values, (names, codes) in ((clip_filter.signers, self.signer), (clip_filter.splits, self.split)):
            if values:
                normalized = {normalize_signer(value) for value in values}
                matches = [not normalized.isdisjoint(map(normalize_signer, name.split(", "))) for name in names]
                accepted &= np.isin(codes, np.flatnonzero(matches))
        if clip_filter.signs:
            accepted &= np.any([self._is_sign(word) for word in clip_filter.signs], axis=0)
        return np.flatnonzero(accepted)

    def sort(self, rows: np.ndarray, key: str) -> np.ndarray:
        """Sort rows by `'index'`, `'sign'` (SignID, else label) or `'length'`; stable."""
        if key == "index":
            return rows
        values = self.num_frames if key == "length" else self._sign_or_label()
        return rows[np.argsort(values[rows], kind="stable")]

    def per_sign(self, rows: np.ndarray, count: int, seed: int | None) -> np.ndarray:
        """Return at most `count` rows of each sign, those of a sign together."""
        signs = self._sign_or_label()[rows]
        groups = (rows[signs == sign] for sign in np.unique(signs))
        return np.concatenate([group[_spread(len(group), count, seed)] for group in groups])

    def summary(self) -> str:
        """Return the number of clips, and their signs, signers and splits."""
        signs = sorted(set(self.sign.tolist()) - {_UNKNOWN})
        columns = [("signs", signs), ("signers", sorted(self.signer[0])), ("splits", sorted(self.split[0]))]
        texts = [f"{key} {', '.join(map(str, v[:8]))}{', ...' if len(v) > 8 else ''}" for key, v in columns if v]
        return pluralize(len(self), "clip") + (f" of {'; '.join(texts)}" if texts else "")

    def _sign_or_label(self) -> np.ndarray:
        return np.where(self.sign == _UNKNOWN, self.label, self.sign)

    def _is_sign(self, word: str) -> np.ndarray:
        if word.isdecimal():
            return self._sign_or_label() == int(word)
        matches = np.zeros(len(self), dtype=bool)
        for code, metainfo in enumerate(self._metainfo):
            labels = [k for key in ("classes", "classes_ar") for k in matching_glosses(word, metainfo.get(key) or ())]
            matches |= (self.dataset_numbers == code) & np.isin(self.label, labels)
        return matches

    def _code(self, clip: ResolvedClip, outer: Any) -> int:
        """Return a number for each pair of an innermost dataset and the transforms above it."""
        key = (id(clip.dataset), *map(id, clip.steps))
        if key not in self._codes:
            self._codes[key] = len(self._clips)
            self._clips.append(clip)
            self._metainfo.append(metainfo_above(clip.dataset, outer, clip.steps))
        return self._codes[key]


def select_clips(
    dataset: Any,
    *,
    count: int,
    indices: Sequence[int] = (),
    clip_filter: ClipFilter | None = None,
    sort: str = "index",
    seed: int | None = None,
    per_sign: int = 0,
) -> list[ClipRef]:
    """Select clips to show, each once even if a wrapper repeats it.

    Args:
        dataset: Dataset as for `find_clips`.
        count: Maximum number of clips; 0 is all.
        indices: Exactly these clips instead, in this order.
        clip_filter: Conditions on the clips.
        sort: Order: `'index'`, `'sign'` or `'length'`.
        seed: Seed of a random selection. None spreads the selection evenly over the order.
        per_sign: Number of clips of each sign, instead of `count` of all; those of a sign are together. 0 disables it.

    Raises:
        ConfigError: If no clip remains, an index is out of range, or the dataset cannot be browsed.
    """
    if sort not in SORTS:
        raise ConfigError(f"sort={sort!r}; expected one of {', '.join(SORTS)}")
    table, clip_filter = ClipTable(dataset, indices), clip_filter or ClipFilter()
    rows = table.rows(clip_filter)
    if not len(rows):
        raise ConfigError(f"no clip of {clip_filter} among {table.summary()}" if len(table) else "the dataset has no clips")
    if not indices:
        rows = table.sort(rows, sort)
        rows = table.per_sign(rows, per_sign, seed) if per_sign else rows[_spread(len(rows), count, seed)]
    return [table.clip_ref(int(row)) for row in rows]


def clip_stages(clip: ClipRef) -> list[Stage]:
    """Return name and results of each transform with keypoints to draw, from the loaded clip to the last before packing.

    Raises:
        ConfigError: If the pipeline loads no keypoints.
        TransformError: If a transform failed.
    """
    stages = [(name, r) for name, r in _all_stages(clip) if isinstance(r, Mapping) and "keypoint" in r]
    if not stages:
        raise ConfigError(f"the pipeline of {type(clip.dataset).__name__} loads no keypoints; it needs LoadKeypoints first")
    return stages


def shown_stages(
    clip: ClipRef, mode: str = "concat", *, augmentations: int = 1, seed: int | None = None
) -> tuple[list[Stage], list[Stage]]:
    """Return the stages of a clip that a mode shows, and further augmented views of it.

    Args:
        clip: Clip to run through its pipeline.
        mode: `'original'` as loaded, `'transformed'` after the pipeline, `'concat'` both, `'pipeline'` every transform.
        augmentations: Number of runs of the pipeline, each with other random numbers.
        seed: Seed of the random numbers, if the dataset has none.

    Raises:
        ConfigError: If the mode is unknown, or the pipeline loads no keypoints.
        TransformError: If a transform failed.
    """
    if mode not in MODES:
        raise ConfigError(f"mode={mode!r}; expected one of {', '.join(MODES)}")
    stages = _stages_of_epoch(clip, 0, seed)
    first, last = stages[0][1], stages[-1][1]
    if mode == "original" or len(stages) == 1:
        return [("original", first)], []
    others = [(f"augmentation {k}", _stages_of_epoch(clip, k - 1, seed)[-1][1]) for k in range(2, augmentations + 1)]
    name = "augmentation 1" if others else "transformed"
    if mode == "pipeline":
        return [(f"{k}. {transform}" if k else transform, r) for k, (transform, r) in enumerate(stages)], others
    return [(name, last)] if mode == "transformed" else [("original", first), (name, last)], others


def matching_glosses(word: str, glosses: Sequence[str]) -> list[int]:
    """Return the indices of the glosses that contain a word, in any spelling.

    Example:
        >>> matching_glosses("اسره", ["الأُسرة", "بيت"]), matching_glosses("YES", ["no", "Yes"])
        ([0], [1])
    """
    normalized = normalize_text(word)
    return [index for index, gloss in enumerate(glosses) if normalized in normalize_text(str(gloss))]


def normalize_text(text: str) -> str:
    """Remove case, vowel marks and differences between Arabic letters that are used interchangeably."""
    plain = unicodedata.normalize("NFKD", text.translate(_EQUIVALENT)).casefold()
    return "".join(letter for letter in plain if not unicodedata.combining(letter)).translate(_EQUIVALENT)


def _all_stages(clip: ClipRef) -> list[tuple[str, Any]]:
    """Return the stages of the innermost dataset, then those of the wrappers."""
    stages, dataset = list(clip.dataset.stages(clip.index)), clip.dataset
    last = stages[-1][1]
    if not clip.steps or not isinstance(last, Mapping):
        return stages
    label = {"label": clip.record["label"]} if "label" in clip.record else {}
    steps = [step for step in clip.steps if not isinstance(step, MapLabels)]  # `label` has their result
    transforms = list(getattr(getattr(dataset, "pipeline", None), "transforms", ()))
    results = {**last, "skeleton": last.get("skeleton") or getattr(dataset, "skeleton", None)}
    if "sample_key" not in results and hasattr(dataset, "sample_keys"):
        results["sample_key"] = dataset.sample_keys(np.array([clip.index]))[0]
    can_continue = steps and "inputs" not in last
    outer = Pipeline([*transforms, *steps]).steps(results, first=len(transforms)) if can_continue else ()
    stages += [(name, dict(after) if isinstance(after, Mapping) else after) for name, after in outer]
    return [(name, {**after, **label} if isinstance(after, Mapping) else after) for name, after in stages]


def _stages_of_epoch(clip: ClipRef, epoch: int, seed: int | None) -> list[Stage]:
    if hasattr(clip.dataset, "set_epoch"):
        clip.dataset.set_epoch(epoch, seed=seed or 0)
    return clip_stages(clip)


def _spread(total: int, count: int, seed: int | None) -> np.ndarray:
    """Return `count` of `total` indices, int64, ascending: evenly spread, or random with a seed; all if `count` is 0."""
    if not count or count >= total:
        return np.arange(total)
    if seed is not None:
        return np.sort(np.random.default_rng(seed).choice(total, count, replace=False))
    return ((np.arange(count) + 0.5) * total / count).astype(np.int64)


def _encode_number(value: Any) -> int:
    return _UNKNOWN if value is None else int(value)


def _encode_name(name: Any, known: dict[str, int]) -> int:
    return _UNKNOWN if name is None else known.setdefault(str(name), len(known))
