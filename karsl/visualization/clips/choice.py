"""Which clips of a dataset to look at, and their results along the pipeline, through any wrapper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from karsl.datasets.pipeline import Pipeline
from karsl.datasets.transforms.labels import MapLabels
from karsl.errors import ConfigError
from karsl.visualization.clips.catalogue import Catalogue, ClipFilter
from karsl.visualization.clips.places import ClipPlace, find_clip

__all__ = ["MODES", "SORTS", "ClipFilter", "ClipPlace", "choose_clips", "clip_stages", "find_clip", "shown_stages"]

SORTS = ("index", "sign", "length")
MODES = ("original", "transformed", "concat", "pipeline")
Stage = tuple[str, Mapping[str, Any]]


def choose_clips(
    dataset: Any,
    *,
    count: int,
    indices: Sequence[int] = (),
    keep: ClipFilter | None = None,
    sort: str = "index",
    seed: int | None = None,
    per_sign: int = 0,
) -> list[ClipPlace]:
    """Choose clips to look at, each once, however often a wrapper repeats it.

    Args:
        dataset: As for `find_clip`.
        count: How many, at most; 0 is all.
        indices: Take exactly these instead, in this order.
        keep: What may be chosen.
        sort: `'index'`, `'sign'` or `'length'`: the order.
        seed: Choose at random; None spreads the choice evenly over the order.
        per_sign: Choose this many of each sign instead of `count` of all, and put each sign's together; 0 does not.

    Raises:
        ConfigError: Nothing is left, an index is outside, or the dataset cannot be browsed.
    """
    if sort not in SORTS:
        raise ConfigError(f"sort={sort!r}; expected one of {', '.join(SORTS)}")
    catalogue, keep = Catalogue(dataset, indices), keep or ClipFilter()
    rows = catalogue.rows(keep)
    if not len(rows):
        raise ConfigError(
            f"no clip of {keep} among {catalogue.summary()}" if len(catalogue) else "the dataset holds no clips"
        )
    if not indices:
        rows = catalogue.order(rows, sort)
        rows = _of_each_sign(catalogue, rows, per_sign, seed) if per_sign else rows[_spread(len(rows), count, seed)]
    return [catalogue.place(int(row)) for row in rows]


def clip_stages(place: ClipPlace) -> list[Stage]:
    """Name and results of each step that has keypoints to draw: the first is the clip as loaded, the last before packing.

    Raises:
        ConfigError: The pipeline loads no keypoints.
        TransformError: A step failed.
    """
    stages = [(name, r) for name, r in _all_stages(place) if isinstance(r, Mapping) and "keypoint" in r]
    if not stages:
        raise ConfigError(f"the pipeline of {type(place.dataset).__name__} loads no keypoints; it needs LoadKeypoints first")
    return stages


def _all_stages(place: ClipPlace) -> list[tuple[str, Any]]:
    """Those of the dataset that reads, then those of the steps that combinators add."""
    stages, dataset = list(place.dataset.stages(place.index)), place.dataset
    last = stages[-1][1]
    if not place.steps or not isinstance(last, Mapping):
        return stages
    label = {"label": place.record["label"]} if "label" in place.record else {}
    steps = [step for step in place.steps if not isinstance(step, MapLabels)]  # labels are set at once
    own = list(getattr(getattr(dataset, "pipeline", None), "transforms", ()))
    results = {**last, "skeleton": last.get("skeleton") or getattr(dataset, "skeleton", None)}
    if "sample_key" not in results and hasattr(dataset, "sample_keys"):
        results["sample_key"] = dataset.sample_keys(np.array([place.index]))[0]
    done = Pipeline([*own, *steps]).steps(results, first=len(own)) if steps and "inputs" not in last else ()
    stages += [(name, dict(after) if isinstance(after, Mapping) else after) for name, after in done]
    return [(name, {**after, **label} if isinstance(after, Mapping) else after) for name, after in stages]


def shown_stages(
    place: ClipPlace, mode: str = "concat", *, draws: int = 1, seed: int | None = None
) -> tuple[list[Stage], list[Stage]]:
    """The stages of a clip that a mode shows, and what further draws of the random steps make of it.

    Args:
        place: Of the clip.
        mode: `'original'` as loaded, `'transformed'` as the pipeline leaves it, `'concat'` both, `'pipeline'` every step.
        draws: How often the pipeline is run; each time its random steps draw other numbers.
        seed: Of the draws, where the dataset has none of its own.

    Raises:
        ConfigError: No such mode, or the pipeline loads no keypoints.
        TransformError: A step failed.
    """
    if mode not in MODES:
        raise ConfigError(f"mode={mode!r}; expected one of {', '.join(MODES)}")
    stages = _drawn(place, 0, seed)
    first, last = stages[0][1], stages[-1][1]
    if mode == "original" or len(stages) == 1:
        return [("original", first)], []
    others = [(f"draw {k}", _drawn(place, k - 1, seed)[-1][1]) for k in range(2, draws + 1)]
    name = "draw 1" if others else "transformed"
    if mode == "pipeline":
        return [(f"{k}. {step}" if k else step, results) for k, (step, results) in enumerate(stages)], others
    return [(name, last)] if mode == "transformed" else [("original", first), (name, last)], others


def _drawn(place: ClipPlace, epoch: int, seed: int | None) -> list[Stage]:
    if hasattr(place.dataset, "set_epoch"):
        place.dataset.set_epoch(epoch, seed=seed or 0)
    return clip_stages(place)


def _of_each_sign(catalogue: Catalogue, rows: np.ndarray, count: int, seed: int | None) -> np.ndarray:
    keys = np.where(catalogue.sign < 0, catalogue.label, catalogue.sign)[rows]
    groups = (rows[keys == key] for key in np.unique(keys))
    return np.concatenate([group[_spread(len(group), count, seed)] for group in groups])


def _spread(total: int, count: int, seed: int | None) -> np.ndarray:
    if not count or count >= total:
        return np.arange(total)
    if seed is not None:
        return np.sort(np.random.default_rng(seed).choice(total, count, replace=False))
    return ((np.arange(count) + 0.5) * total / count).astype(np.int64)
