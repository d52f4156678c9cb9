"""Collate functions: samples into a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.registry import FUNCTIONS as ROOT_FUNCTIONS
from torch.utils.data import default_collate

from karsl.checks import check_int
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
def keypoint_collate(samples: Sequence[dict], *, pad: int = False) -> dict:
    """Stack packed samples, if requested padded at the end to the longest one.

    With `LengthBucketSampler`, which makes batches of similar lengths, little is padded. Added frames are zeros without a
    keypoint, as if nothing had been detected in them, so that `STTransformer` neither attends to nor pools them.

    Args:
        samples: N outputs of PackKeypointInputs.
        pad: True accepts clips of different lengths; a number also rounds the frames of the batch up to a multiple of it.

    Returns:
        inputs (N, T, V, C), keypoint_mask (N, T, V), label int64 (N,), sample_idx int64 (N,); with `pad` also num_frames
        int64 (N,), the lengths before padding; other keys as lists.

    Raises:
        ConfigError: If there are no samples, or they are not packed, or differ in shape or keys. The text names the
            transform that would help. Also if `pad` is negative.

    Example:
        >>> make = lambda frames: {"inputs": torch.ones(frames, 5, 3), "keypoint_mask": torch.ones(frames, 5) > 0}
        >>> tuple(keypoint_collate([make(3), make(3)])["inputs"].shape)
        (2, 3, 5, 3)
        >>> batch = keypoint_collate([make(2), make(3)], pad=True)
        >>> tuple(batch["inputs"].shape), batch["num_frames"], batch["keypoint_mask"][0].sum(dim=1)
        ((2, 3, 5, 3), tensor([2, 3]), tensor([5, 5, 0]))
    """
    if pad:
        check_int("keypoint_collate", pad=pad)
    samples = _gather(samples)
    collate = getattr(samples, "collate_padded" if pad else "collate", None)  # a LazyBatch
    batch = None if collate is None else collate(pad) if pad else collate()
    if batch is not None:
        return batch
    samples = list(samples)
    _check_samples(samples, pad=pad)
    lengths = [len(sample["inputs"]) for sample in samples]
    batch = {"num_frames": torch.tensor(lengths)} if pad else {}
    for key in samples[0]:
        values = [s[key] for s in samples]
        if pad and key in ("inputs", "keypoint_mask"):
            batch[key] = _pad(values, -(-max(lengths) // pad) * pad)
        else:
            batch[key] = default_collate(values) if isinstance(values[0], (torch.Tensor, int, float)) else values
    return batch


def _pad(clips: Sequence[torch.Tensor], frames: int) -> torch.Tensor:
    """Return clips (T, ...) as one tensor (N, frames, ...), zeros after their ends."""
    out = clips[0].new_zeros(len(clips), frames, *clips[0].shape[1:])
    for padded, clip in zip(out, clips, strict=True):
        padded[: len(clip)] = clip
    return out


def _check_packed(samples: Sequence[Any]) -> None:
    if not len(samples):
        raise ConfigError("keypoint_collate: no samples; a collate function that drops samples must keep at least one")
    for sample in samples:
        if not isinstance(sample, Mapping) or "inputs" not in sample:
            found = f"has {sorted(map(str, sample))}" if isinstance(sample, Mapping) else f"is a {type(sample).__name__}"
            raise ConfigError(
                f"keypoint_collate: a sample {found}, no 'inputs'; end the pipeline with dict(type='PackKeypointInputs')"
            )


def _check_samples(samples: Sequence[Any], *, pad: int) -> None:
    _check_packed(samples)
    shapes = sorted({tuple(s["inputs"].shape) for s in samples})
    if len({shape[1:] for shape in shapes}) > 1:
        remedy = "give all clips the same keypoints with SelectKeypoints, and PackKeypointInputs the same arguments"
    else:
        remedy = (
            "end the temporal part of the pipeline with TSNSampleFrames, UniformSampleFrames or PadTo, or pad each batch "
            "with collate_fn=dict(type='keypoint_collate', pad=True)"
        )
    if len({shape[1:] if pad else shape for shape in shapes}) > 1:
        raise ConfigError(f"clips of different shapes in one batch: {shapes[0]} and {shapes[-1]}; {remedy}")
    differing = sorted(set().union(*samples).difference(set(samples[0]).intersection(*samples)))
    if differing:
        raise ConfigError(f"only some samples of a batch have {differing}; all clips need the same keys to be stacked")


def _gather(samples: Sequence[Any]) -> Sequence[Any]:
    """Join samples of a stream, which arrive one by one and are not made yet."""
    gather = getattr(samples[0], "gathered", None) if isinstance(samples, list) and samples else None
    return samples if gather is None else gather(samples)
