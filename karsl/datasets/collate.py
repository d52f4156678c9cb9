"""Collate functions: samples into a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.registry import FUNCTIONS as ROOT_FUNCTIONS
from torch.utils.data import default_collate

from karsl.errors import ConfigError
from karsl.registry import FUNCTIONS


@ROOT_FUNCTIONS.register_module()  # where MMEngine's Runner looks, whatever the default scope is
@FUNCTIONS.register_module()
def device_collate(samples: Sequence[dict], mode: str = "frames") -> dict:
    """Prepare a batch that `KeypointDataPreprocessor` finishes on the model's device.

    The batch contains the random parameters in small tensors `plan_...`, and the raw frames of the clips. A pipeline that
    cannot be planned (a user's transform, frames that are resampled twice, no numba) gives the batch of `keypoint_collate`.

    Args:
        samples: Return value of a dataset's `__getitems__`.
        mode: `'frames'` sends the frames as they are stored. `'resident'` sends their row numbers in a pack that the
            preprocessor keeps on its device.

    Returns:
        Tensors plan_..., label, sample_idx; `frame_plan` with a few numbers; with mode 'frames' also frames (F, V, 4).

    Raises:
        ConfigError: If the mode is unknown, `'resident'` is used without a pack, or clips have different shapes.
    """
    if mode not in ("frames", "resident"):
        raise ConfigError(f"device_collate: mode={mode!r}; expected 'frames' or 'resident'")
    samples = _gather(samples)
    to_plan = getattr(samples, "to_plan", None)  # a LazyBatch
    batch = None if to_plan is None else to_plan(resident=mode == "resident")
    return keypoint_collate(samples) if batch is None else batch


@ROOT_FUNCTIONS.register_module()  # where MMEngine's Runner looks, whatever the default scope is
@FUNCTIONS.register_module()
def keypoint_collate(samples: Sequence[dict]) -> dict:
    """Stack packed samples.

    Args:
        samples: N outputs of PackKeypointInputs.

    Returns:
        inputs (N, T, V, C), keypoint_mask (N, T, V), label int64 (N,), sample_idx int64 (N,); other keys as lists.

    Raises:
        ConfigError: If there are no samples, or they are not packed, or differ in shape or keys. The text names the
            transform that would help.

    Example:
        >>> one = {"inputs": torch.zeros(8, 5, 3), "label": 1}
        >>> batch = keypoint_collate([one, one])
        >>> tuple(batch["inputs"].shape), batch["label"]
        ((2, 8, 5, 3), tensor([1, 1]))
    """
    samples = _gather(samples)
    collate = getattr(samples, "collate", None)  # a LazyBatch
    batch = None if collate is None else collate()
    if batch is not None:
        return batch
    _check_samples(samples)
    batch = {}
    for key in samples[0]:
        values = [s[key] for s in samples]
        batch[key] = default_collate(values) if isinstance(values[0], (torch.Tensor, int, float)) else values
    return batch


def _check_samples(samples: Sequence[Any]) -> None:
    if not len(samples):
        raise ConfigError("keypoint_collate: no samples; a collate function that drops samples must keep at least one")
    for sample in samples:
        if not isinstance(sample, Mapping) or "inputs" not in sample:
            found = f"has {sorted(map(str, sample))}" if isinstance(sample, Mapping) else f"is a {type(sample).__name__}"
            raise ConfigError(
                f"keypoint_collate: a sample {found}, no 'inputs'; end the pipeline with dict(type='PackKeypointInputs')"
            )
    shapes = sorted({tuple(s["inputs"].shape) for s in samples})
    if len(shapes) > 1:
        raise ConfigError(
            f"clips of different shapes in one batch: {shapes[0]} and {shapes[-1]}; "
            "end the temporal part of the pipeline with TSNSampleFrames, UniformSampleFrames or PadTo"
        )
    differing = sorted(set().union(*samples).difference(set(samples[0]).intersection(*samples)))
    if differing:
        raise ConfigError(f"only some samples of a batch have {differing}; all clips need the same keys to be stacked")


def _gather(samples: Sequence[Any]) -> Sequence[Any]:
    """Join samples of a stream, which arrive one by one and are not made yet."""
    gather = getattr(samples[0], "gathered", None) if isinstance(samples, list) and samples else None
    return samples if gather is None else gather(samples)
