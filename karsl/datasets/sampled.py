"""How a sample is made: the record, what is drawn for it, the pipeline, and another clip where it gives none."""

from __future__ import annotations

import copy
import operator
from functools import partial
from typing import Any

import numpy as np
from mmengine.dataset import force_full_init

from karsl.datasets.batched import BatchedDataset
from karsl.datasets.draws import Draw, name_code
from karsl.datasets.epoch import EpochState
from karsl.datasets.indexed import init_late
from karsl.datasets.skipping import Attempt, SkipReport, sample_or_another
from karsl.skeletons import Skeleton

_SAMPLE_METHODS = frozenset({"prepare_data", "start", "__getitem__", "get_data_info"})


class SampledDataset(BatchedDataset):
    """A dataset whose samples depend on (seed, epoch, place); what its records are is a subclass's matter."""

    on_error: str
    _epoch_state: EpochState
    _skips: SkipReport

    @property
    def num_skipped(self) -> int:
        """Clips replaced by others so far, over all workers."""
        return self._skips.count

    def count_skipped(self, place: int, reason: str) -> None:
        """Count and report a clip that somebody who reads through this dataset replaced by another."""
        self._skips.add(place, reason)

    def set_epoch(self, epoch: int, seed: int | None = None) -> None:
        """Say which epoch is drawn, as with PyTorch's DistributedSampler; reaches workers that run already.

        Args:
            epoch: 0 or more.
            seed: Used if the dataset has none yet.
        """
        self._epoch_state.set_epoch(epoch, seed=seed)

    def prepare_data(self, idx: int) -> Any:
        """The record at `idx` through the pipeline; None if the pipeline gives None."""
        return self.pipeline(self.start(idx))

    def get_sample(self, idx: int, *, rng_key: np.uint64) -> Any:
        """The record at `idx` through the pipeline, drawn with a random key of one's own.

        The same clip twice in an epoch, with two keys, is augmented in two ways.
        """
        return self.pipeline({**self.start(idx), "sample_key": rng_key})

    @force_full_init
    def stages(self, idx: int) -> list[tuple[str, Any]]:
        """The results after each step, for looking at a pipeline: `[("record", {...}), ("LoadKeypoints", {...}), ...]`.

        Each is a copy, so that a step which edits in place does not change what earlier stages show.
        """
        start = self.start(idx)
        return [("record", _snapshot(start)), *((name, _snapshot(results)) for name, results in self.pipeline.steps(start))]

    def start(self, idx: int) -> dict:
        """What the pipeline begins with: the record, the random key of the sample, the skeleton."""
        results = self.get_data_info(idx)
        if getattr(self.pipeline, "transforms", True):
            results["sample_key"] = self._epoch_state.key(results["sample_idx"])
            if self.skeleton is not None:
                results["skeleton"] = self.skeleton
        return results

    def locators(self, places: np.ndarray) -> list[dict]:
        """What LoadKeypoints needs to read the clips at some places: their records and the skeleton."""
        return [{**self.get_data_info(place), "skeleton": self.skeleton} for place in places.tolist()]

    def __getitem__(self, idx: int) -> Any:
        """The sample at `idx`.

        In training, a clip for which the pipeline gives None is replaced by another, at most `max_refetch` times; each
        is counted and logged. An error is raised, unless `on_error='skip'` treats it in the same way.

        Raises:
            TransformError: A step failed, or gave None in test mode, or for every clip that was tried.
        """
        init_late(self)
        return sample_or_another(idx, self._attempt, self._rand_another, self._skips)

    def _attempt(self, idx: int) -> Attempt:
        make, none = partial(self.prepare_data, idx), f"the pipeline gave None for sample {idx}"
        if self.test_mode:
            return Attempt(make, none, False, 0, ", which test_mode=True forbids: every clip must be evaluated")
        refusal = f"; no clip after {self.max_refetch} others were tried (max_refetch)"
        return Attempt(make, none, self.on_error == "skip", self.max_refetch, refusal)

    def sample_keys(self, places: np.ndarray) -> np.ndarray:
        """uint64 (N,), the random keys of the samples at some places."""
        return self._epoch_state.keys(places)

    def _samples_are_usual(self) -> bool:
        same = all(getattr(type(self), name) is getattr(SampledDataset, name) for name in _SAMPLE_METHODS)
        return same and _SAMPLE_METHODS.isdisjoint(vars(self))

    def _rand_another(self, idx: int = 0, attempt: int = 0) -> int:
        draw = Draw(self._epoch_state.key(operator.index(idx) % len(self)), stream=name_code(f"another {attempt}"))
        return int(draw.integers("place", len(self))[0])


def _snapshot(results: Any) -> Any:
    """A copy with arrays of its own; skeletons are frozen and stay the same objects."""
    if not isinstance(results, dict):
        return copy.deepcopy(results)
    return {key: value if isinstance(value, Skeleton) else copy.deepcopy(value) for key, value in results.items()}
