"""Mixed precision on CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper
from torch import nn

from karsl.errors import ConfigError
from karsl.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(OptimWrapper):
    """Run the forward pass under bfloat16 autocast on CPU; weights and optimiser stay float32.

    bfloat16 has the range of float32, so there is no loss scaling. MMEngine's AmpOptimWrapper asserts a GPU.

    Args:
        **kwargs: Arguments of `OptimWrapper`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The forward pass of one iteration."""
        with super().optim_context(model), torch.autocast("cpu", dtype=torch.bfloat16):
            yield


def enable_amp(cfg: ConfigDict) -> None:
    """Make a config train in mixed precision: on a GPU with MMEngine's wrapper, on CPU with ours.

    Args:
        cfg: Changed in place.

    Raises:
        ConfigError: The config has an optimiser wrapper of its own kind.
    """
    wrapper = cfg.optim_wrapper
    kind = wrapper.get("type", "OptimWrapper")
    name = (kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2]
    if name not in ("OptimWrapper", "AmpOptimWrapper", "CpuAmpOptimWrapper"):
        raise ConfigError(f"--amp cannot be combined with optim_wrapper type '{name}'; use OptimWrapper")
    if torch.cuda.is_available():
        wrapper["type"] = "AmpOptimWrapper"
        wrapper.setdefault("loss_scale", "dynamic")
    else:
        wrapper["type"] = "karsl.CpuAmpOptimWrapper"
        wrapper.pop("loss_scale", None)
        wrapper.pop("dtype", None)
