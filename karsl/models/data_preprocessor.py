"""Data preprocessor: batches of a loader to stacked tensors on the device of the model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor

from karsl.datasets.batching.plan import PREFIX, DevicePack, FramePlan, apply_plan
from karsl.errors import ConfigError
from karsl.registry import MODELS

_DTYPES = {"inputs": torch.float32, "keypoint_mask": torch.bool, "label": torch.int64, "sample_idx": torch.int64}


@MODELS.register_module()
class KeypointDataPreprocessor(BaseDataPreprocessor):
    """Stack a batch if needed, cast it and move it to the device, or create it there from a plan.

    Accepts the output of every collate function: `keypoint_collate` returns tensors with a batch axis, MMEngine's
    `pseudo_collate` one list of samples per key, `device_collate` raw frames and a plan, which is applied on the device and
    gives the result of `keypoint_collate` to 1e-5. Keys other than the four of a packed sample are passed on.

    Args:
        non_blocking: Copy to the device asynchronously; only has an effect from pinned memory.
        pack: Folders of packs whose shards are stored on the device, for `device_collate(mode='resident')`.

    Example:
        >>> clips = [torch.zeros(2, 5, 3), torch.ones(2, 5, 3)]
        >>> masks = [torch.ones(2, 5, dtype=torch.bool)] * 2
        >>> batch = KeypointDataPreprocessor()({"inputs": clips, "keypoint_mask": masks, "label": [0, 1]})
        >>> batch["inputs"].shape, batch["label"]
        (torch.Size([2, 2, 5, 3]), tensor([0, 1]))
    """

    def __init__(
        self, non_blocking: bool = True, *, pack: str | os.PathLike | Sequence[str | os.PathLike] | None = None
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        paths = [] if pack is None else [pack] if isinstance(pack, (str, os.PathLike)) else pack
        self.packs = [DevicePack(path) for path in paths]

    def forward(self, data: Mapping[str, Any], training: bool = False) -> dict[str, Any]:
        """Prepare a batch.

        Args:
            data: `inputs` (N, T, V, C) and `keypoint_mask` (N, T, V), or lists of N clips; `label` and `sample_idx`
                as (N,) tensors or lists of integers, or absent. Or the output of `device_collate`.
            training: Ignored; part of MMEngine's signature.

        Returns:
            The same keys, as float32, bool and int64 tensors on the device of the model.

        Raises:
            TypeError: If `data` is not a mapping with `inputs` and `keypoint_mask`.
            ValueError: If the clips of the batch differ in shape.
            ConfigError: If the batch refers to frames of a pack that is not in `pack`.
        """
        if isinstance(data, Mapping) and "frame_plan" in data:
            data = self._apply_plan(data)
        if not isinstance(data, Mapping) or "inputs" not in data or "keypoint_mask" not in data:
            keys = sorted(data) if isinstance(data, Mapping) else type(data).__name__
            raise TypeError(
                f"a batch needs 'inputs' and 'keypoint_mask' but has {keys}; end the pipeline with PackKeypointInputs"
            )
        return {key: self._cast(key, value) for key, value in data.items()}

    def _apply_plan(self, data: Mapping[str, Any]) -> dict[str, Any]:
        options, others = data["frame_plan"], {}
        tensors: dict[str, torch.Tensor] = {}
        for key, value in data.items():
            if key == "frames" or key.startswith(PREFIX):
                tensors[key] = value.to(self.device, non_blocking=self._non_blocking)
            elif key != "frame_plan":
                others[key] = value
        frames = tensors["frames"] if options["pack"] is None else self._resident(options["pack"])
        plan = FramePlan.from_batch(tensors, options["missing_is_zero"])
        inputs, mask = apply_plan(frames, plan, channels=options["channels"], fill=options["fill"])
        return {"inputs": inputs, "keypoint_mask": mask, **others}

    def _resident(self, digest: int) -> torch.Tensor:
        for pack in self.packs:
            if pack.digest == digest:
                return pack.to(self.device)
        paths = [str(pack.path) for pack in self.packs]
        raise ConfigError(
            f"the batch refers to frames of a pack that KeypointDataPreprocessor does not have, pack={paths}; give it the "
            "pack of every loader that uses device_collate with mode='resident'"
        )

    def _cast(self, key: str, value: Any) -> Any:
        if key not in _DTYPES or value is None:
            return self.cast_data(value)
        tensor = value if isinstance(value, torch.Tensor) else _stack(key, value)
        return tensor.to(self.device, _DTYPES[key], non_blocking=self._non_blocking)


def _stack(key: str, values: Sequence[Any]) -> torch.Tensor:
    tensors = [torch.as_tensor(value) for value in values]
    shapes = sorted({tuple(tensor.shape) for tensor in tensors})
    if len(shapes) > 1:
        raise ValueError(
            f"clips of one batch differ in shape, '{key}' has {shapes}; "
            "give all clips the same length with TSNSampleFrames, UniformSampleFrames or PadTo"
        )
    return torch.stack(tensors)
