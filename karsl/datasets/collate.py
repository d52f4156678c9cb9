"""Samples into a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch.utils.data import default_collate

from karsl.errors import ConfigError
from karsl.registry import FUNCTIONS


@runtime_checkable
class Batched(Protocol):
    """Samples that may be a batch already."""

    def finished(self) -> dict | None:
        """The batch, or None where samples must be stacked."""


@FUNCTIONS.register_module()
def keypoint_collate(samples: Sequence[dict]) -> dict:
    """Stack packed samples.

    Args:
        samples: N dicts of PackKeypointInputs.

    Returns:
        inputs (N, T, V, C), keypoint_mask (N, T, V), label int64 (N,), sample_idx int64 (N,); other keys as lists.

    Raises:
        ConfigError: Clips of different shapes, with the step that would help.

    Example:
        >>> one = {"inputs": torch.zeros(8, 5, 3), "label": 1}
        >>> batch = keypoint_collate([one, one])
        >>> tuple(batch["inputs"].shape), batch["label"]
        ((2, 8, 5, 3), tensor([1, 1]))
    """
    if isinstance(samples, Batched):
        batch = samples.finished()
        if batch is not None:
            return batch
    shapes = sorted({tuple(s["inputs"].shape) for s in samples})
    if len(shapes) > 1:
        raise ConfigError(
            f"clips of different shapes in one batch: {shapes[0]} and {shapes[-1]}; "
            "end the pipeline's temporal part with TSNSampleFrames, UniformSampleFrames or PadFrames"
        )
    differing = sorted(set().union(*samples).difference(set(samples[0]).intersection(*samples)))
    if differing:
        raise ConfigError(f"only some samples of a batch have {differing}; all clips need the same keys to be stacked")
    batch = {}
    for key in samples[0]:
        values = [s[key] for s in samples]
        stackable = isinstance(values[0], (torch.Tensor, int, float))
        batch[key] = default_collate(values) if stackable else values
    return batch
