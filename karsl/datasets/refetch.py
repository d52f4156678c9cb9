"""Other clips in place of those that give no sample: MMEngine's `max_refetch`, and `on_error='skip'`."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from karsl.datasets.rng import CounterRNG, hash_name
from karsl.errors import TransformError


def sample_or_another(dataset: Any, idx: int) -> Any:
    """Return the sample at an index of a KeypointDataset, or in training that of another clip.

    In training, a clip for which the pipeline returns None is replaced by another, at most `max_refetch` times; each is
    counted and logged. An error of a transform is raised, or with `on_error='skip'` handled in the same way.

    Raises:
        TransformError: If a transform fails, or returns None in test mode or for every clip that was tried.
    """
    for attempt in range(dataset.max_refetch + 1):
        try:
            sample, rejected_by = dataset.prepare_data(idx), getattr(dataset.pipeline, "rejected_by", "")
            reason = f"{rejected_by or 'the pipeline'} returned None for sample {idx}"
        except TransformError as error:
            if dataset.test_mode or dataset.on_error != "skip":
                raise
            sample, reason, rejected_by = None, str(error), ""
        if sample is not None:
            return sample
        if dataset.test_mode:
            raise TransformError(f"{reason}, which test_mode=True forbids: every clip must be evaluated")
        if attempt < dataset.max_refetch:
            dataset.skips.add(idx, reason, rejected_by=rejected_by)
            own = dataset.sample_keys(np.array([operator.index(idx) % len(dataset)]))
            idx = another_index(own[0], attempt, length=len(dataset))
    forgotten = f"; does {rejected_by} end with 'return results'?" if rejected_by else ""
    raise TransformError(f"{reason}; no clip after {dataset.max_refetch} others were tried (max_refetch){forgotten}")


def another_index(rng_key: np.uint64, attempt: int, *, length: int) -> int:
    """Return the index of another clip, in [0, length).

    Args:
        rng_key: Random key of the sample.
        attempt: Number of clips that were replaced before.
        length: Number of clips.

    Example:
        >>> another_index(np.uint64(5), 0, length=10) == another_index(np.uint64(5), 0, length=10)
        True
    """
    rng = CounterRNG(rng_key, transform_id=hash_name(f"another {attempt}"))
    return int(rng.integers("place", length)[0])
