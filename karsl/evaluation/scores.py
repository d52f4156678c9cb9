"""Score files: the scores of a model for all clips of a test set, with what is needed to evaluate and to combine them.

A score file is an uncompressed `.npz` without pickled objects. Its arrays are the attributes of `Scores`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from karsl.errors import ConfigError, DatasetNotFoundError, first_line, pluralize
from karsl.io.atomic import atomic_path
from karsl.io.npy import BROKEN_ARCHIVE
from karsl.io.npz import check_unpacked_size

FORMAT = "karsl-scores-1"
_TEXTS = ("clip_id", "signer", "category", "classes", "classes_ar", "checkpoint")
_PER_CLIP = ("clip_id", "label", "signer", "sign", "category")
_PER_CLASS = ("classes", "classes_ar", "signs")


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of N clips for K classes.

    Attributes:
        scores: float32 (N, K), probabilities of the classes.
        clip_id: str (N,).
        label: int64 (N,), the true class, -1 if unknown.
        signer: str (N,), empty if unknown.
        sign: int64 (N,), SignID, -1 if unknown.
        category: str (N,), empty if unknown.
        classes: str (K,), names of the classes.
        classes_ar: str (K,), Arabic names; empty texts if unknown.
        signs: int64 (K,), SignIDs of the classes, -1 if unknown.
        checkpoint: str (M,), name and xxh3 digest of the checkpoints that gave the scores.
        path: File that they were read from, for messages.
    """

    scores: np.ndarray
    clip_id: np.ndarray
    label: np.ndarray
    signer: np.ndarray
    sign: np.ndarray
    category: np.ndarray
    classes: np.ndarray
    classes_ar: np.ndarray
    signs: np.ndarray
    checkpoint: np.ndarray
    path: str = ""

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, indices: np.ndarray) -> Scores:
        """Return the clips of some indices, in their order."""
        per_clip = {name: getattr(self, name)[indices] for name in ("scores", *_PER_CLIP)}
        return replace(self, **per_clip)


def write_scores(path: str | Path, scores: Scores) -> None:
    """Write a score file atomically; missing folders are created.

    Raises:
        ConfigError: If the name does not end in `.npz`.
    """
    if Path(path).suffix.lower() != ".npz":
        raise ConfigError(f"a score file is an .npz file, not '{path}'; give another name")
    arrays = {field.name: getattr(scores, field.name) for field in fields(Scores) if field.name != "path"}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, format=np.array(FORMAT), **arrays)


def read_scores(path: str | Path) -> Scores:
    """Read a score file and check that it is complete.

    Raises:
        DatasetNotFoundError: If the file does not exist.
        ConfigError: If it is not a score file, its arrays do not fit together, or scores are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetNotFoundError(f"score file '{path}' does not exist; 'karsl test ... --dump {path.stem}.npz' writes one")
    if path.suffix.lower() == ".json":
        raise ConfigError(
            f"'{path}' is the form of 'karsl test --dump' for reading by eye, without all scores; give --dump a name in .npz"
        )
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            raise ConfigError(f"'{path}' is one array and no score file; 'karsl test --dump NAME.npz' writes one")
        with content as archive:
            for member in archive.zip.infolist():
                check_unpacked_size(member.file_size)
            arrays = {name: archive[name] for name in archive.files}
    except ConfigError:
        raise
    except BROKEN_ARCHIVE as error:  # of numpy and zlib
        raise ConfigError(f"score file '{path}' cannot be read ({first_line(error)}); is it complete?") from error
    return _parse(arrays, path)


def _parse(arrays: dict[str, np.ndarray], path: Path) -> Scores:
    names = [field.name for field in fields(Scores) if field.name != "path"]
    form = arrays.get("format")
    if form is None or str(form) != FORMAT:
        found = f"its format is '{form}'" if form is not None and form.ndim == 0 else f"it contains {sorted(arrays)[:5]}"
        raise ConfigError(
            f"'{path}' is no score file of this version, {found}; write one with 'karsl test ... --dump NAME.npz'"
        )
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ConfigError(f"score file '{path}' has no {', '.join(missing)}; write it again with 'karsl test --dump'")
    kinds = {"scores": "f", "label": "iu", "sign": "iu", "signs": "iu"} | dict.fromkeys(_TEXTS, "U")
    wrong = [f"{name} {arrays[name].dtype}" for name in names if arrays[name].dtype.kind not in kinds[name]]
    if not wrong:
        shape = arrays["scores"].shape
        lengths = dict.fromkeys(_PER_CLIP, shape[:1]) | dict.fromkeys(_PER_CLASS, shape[1:])
        wrong = [f"{name} {arrays[name].shape}" for name, size in lengths.items() if arrays[name].shape != size]
        wrong += [f"scores {shape}"] * (len(shape) != 2 or 0 in shape)
        wrong += [f"checkpoint {arrays['checkpoint'].shape}"] * (arrays["checkpoint"].ndim != 1)
    if wrong:
        raise ConfigError(f"score file '{path}': {', '.join(wrong)} do not fit scores (N, K); write it again")
    scores = Scores(**{name: arrays[name] for name in names}, path=str(path))
    _check_values(scores)
    return scores


def _check_values(scores: Scores) -> None:
    num_classes = scores.scores.shape[1]
    outside = np.flatnonzero((scores.label < -1) | (scores.label >= num_classes))
    if len(outside):
        raise ConfigError(
            f"score file '{scores.path}': label {scores.label[outside[0]]} of clip '{scores.clip_id[outside[0]]}' is "
            f"outside the {pluralize(num_classes, 'class')}; write it again with 'karsl test --dump'"
        )
    bad = np.flatnonzero(~np.isfinite(scores.scores).all(axis=1))
    if len(bad):
        raise ConfigError(
            f"score file '{scores.path}': the scores of {pluralize(len(bad), 'clip')} are not finite, the first is "
            f"'{scores.clip_id[bad[0]]}'; test a checkpoint from before the training diverged"
        )


def match_clips(files: Sequence[Scores]) -> list[Scores]:
    """Return the same scores with the clips of every file in the order of the first.

    Args:
        files: At least one file.

    Raises:
        ConfigError: If the files are of other clips, classes or labels, or a clip is in one of them twice.
    """
    first = files[0]
    positions = _positions(first)
    matched = [first]
    for other in files[1:]:
        check_classes(first, other)
        theirs = _positions(other)
        lacking, extra = positions.keys() - theirs.keys(), theirs.keys() - positions.keys()
        if lacking or extra:
            example = min(lacking or extra)
            where = first.path if lacking else other.path
            raise ConfigError(
                f"'{first.path}' and '{other.path}' are of other clips: {pluralize(len(lacking | extra), 'clip')} in one "
                f"only, such as '{example}' in '{where}'; test both models on the same clips (folds are joined with --folds)"
            )
        ordered = other.take(np.array([theirs[clip] for clip in positions], dtype=np.int64))
        differ = np.flatnonzero(ordered.label != first.label)
        if len(differ):
            raise ConfigError(
                f"'{first.path}' and '{other.path}' have other labels for {pluralize(len(differ), 'clip')}, "
                f"the first is '{first.clip_id[differ[0]]}'; test both models with the same annotation file"
            )
        matched.append(ordered)
    return matched


def check_classes(first: Scores, other: Scores) -> None:
    """Check that two files have the same classes in the same order.

    Raises:
        ConfigError: Names the first difference.
    """
    ours, theirs = (list(map(str, file.classes)) for file in (first, other))
    if ours == theirs:
        return
    if len(ours) != len(theirs):
        difference = f"{len(ours)} and {len(theirs)}"
    else:
        at = next(i for i, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
        difference = f"class {at} is '{ours[at]}' and '{theirs[at]}'"
    raise ConfigError(
        f"'{first.path}' and '{other.path}' are of other classes ({difference}); use models trained on the same signs"
    )


def join_folds(files: Sequence[Scores]) -> Scores:
    """Return the clips of several folds as one result.

    Args:
        files: Scores of the same classes; each clip is in one of them.

    Raises:
        ConfigError: If the classes differ or a clip is in two folds.
    """
    first = files[0]
    for other in files[1:]:
        check_classes(first, other)
    joined = {name: np.concatenate([getattr(file, name) for file in files]) for name in ("scores", *_PER_CLIP)}
    checkpoints = np.array(list(dict.fromkeys(str(c) for file in files for c in file.checkpoint)), dtype=str)
    path = first.path if len(files) == 1 else f"{first.path} and {pluralize(len(files) - 1, 'more fold')}"
    result = replace(first, **joined, checkpoint=checkpoints, path=path)
    _positions(result)
    return result


def _positions(scores: Scores) -> dict[str, int]:
    """Return the index of each clip."""
    found = {str(clip): index for index, clip in enumerate(scores.clip_id)}
    if len(found) != len(scores):
        twice, times = Counter(map(str, scores.clip_id)).most_common(1)[0]
        raise ConfigError(
            f"'{scores.path}' has clip '{twice}' {times} times, so clips cannot be matched by name; "
            "test on a dataset that has each clip once"
        )
    return found
