"""Samples into a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import default_collate

from karsl.errors import ConfigError
from karsl.registry import FUNCTIONS


@FUNCTIONS.register_module()
def plan_collate(samples: Sequence[dict], mode: str = "frames") -> dict:
    """Leave the work of a batch to `KeypointDataPreprocessor`, which does it on the model's device.

    A batch is then what was drawn, in small tensors `plan_...`, and the clips' raw frames. Where a pipeline cannot be
    planned (a step of one's own, two readings of frames, no numba) it is the batch of `keypoint_collate`.

    Args:
        samples: What `__getitems__` of a dataset gives.
        mode: `'frames'` sends the frames that are read, as they are stored; `'resident'` their numbers in the pack, which
            the preprocessor keeps on its device.

    Returns:
        plan_... tensors, label, sample_idx, `frame_plan` with a few numbers, and with mode 'frames': frames (F, V, 4).

    Raises:
        ConfigError: An unknown mode; `'resident'` without a pack; clips of different shapes.
    """
    if mode not in ("frames", "resident"):
        raise ConfigError(f"plan_collate: mode={mode!r}; expected 'frames' or 'resident'")
    samples = _gathered(samples)
    planned = getattr(samples, "to_plan", None)  # a LazyBatch, or anything that makes batches
    batch = None if planned is None else planned(resident=mode == "resident")
    return keypoint_collate(samples) if batch is None else batch


@FUNCTIONS.register_module()
def keypoint_collate(samples: Sequence[dict]) -> dict:
    """Stack packed samples.

    Args:
        samples: N dicts of PackKeypointInputs.

    Returns:
        inputs (N, T, V, C), keypoint_mask (N, T, V), label int64 (N,), sample_idx int64 (N,); other keys as lists.

    Raises:
        ConfigError: No samples, or such that are not packed, or of different shapes, with the step that would help.

    Example:
        >>> one = {"inputs": torch.zeros(8, 5, 3), "label": 1}
        >>> batch = keypoint_collate([one, one])
        >>> tuple(batch["inputs"].shape), batch["label"]
        ((2, 8, 5, 3), tensor([1, 1]))
    """
    samples = _gathered(samples)
    finished = getattr(samples, "collate", None)  # a LazyBatch, or anything that is a batch already
    batch = None if finished is None else finished()
    if batch is not None:
        return batch
    if not len(samples):
        raise ConfigError("keypoint_collate: no samples; a collate function of one's own leaves one of a batch at least")
    for sample in samples:
        if not isinstance(sample, Mapping) or "inputs" not in sample:
            holds = f"holds {sorted(map(str, sample))}" if isinstance(sample, Mapping) else f"is a {type(sample).__name__}"
            raise ConfigError(
                f"keypoint_collate: a sample {holds}, no 'inputs'; end the pipeline with dict(type='PackKeypointInputs')"
            )
    shapes = sorted({tuple(s["inputs"].shape) for s in samples})
    if len(shapes) > 1:
        raise ConfigError(
            f"clips of different shapes in one batch: {shapes[0]} and {shapes[-1]}; "
            "end the pipeline's temporal part with TSNSampleFrames, UniformSampleFrames or PadTo"
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


def _gathered(samples: Sequence[Any]) -> Sequence[Any]:
    """Samples of a stream come one by one, not made yet; their `gathered` gives what makes them together."""
    gather = getattr(samples[0], "gathered", None) if isinstance(samples, list) and samples else None
    return samples if gather is None else gather(samples)
