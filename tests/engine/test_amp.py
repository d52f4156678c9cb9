"""Mixed precision on CPU."""

from __future__ import annotations

import pytest
import torch

from karsl.engine import CpuAmpOptimWrapper, build_runner, enable_amp
from karsl.errors import ConfigError

CPU_ONLY = pytest.mark.skipif(torch.cuda.is_available(), reason="uses the GPU's wrapper if there is a GPU")


@CPU_ONLY
def test_the_forward_pass_runs_in_bfloat16_and_the_weights_stay_float32(toy):
    cfg = toy(max_epochs=1)
    enable_amp(cfg)
    runner = build_runner(cfg)
    seen = set()
    runner.model.cls_head.fc.register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    runner.train()
    assert isinstance(runner.optim_wrapper, CpuAmpOptimWrapper)
    assert seen == {torch.bfloat16}
    assert {p.dtype for p in runner.model.parameters()} == {torch.float32}


@CPU_ONLY
def test_options_for_a_gpu_are_dropped_on_cpu(toy):
    cfg = toy()
    cfg.optim_wrapper.update(type="AmpOptimWrapper", loss_scale="dynamic", dtype="float16")
    enable_amp(cfg)
    assert set(cfg.optim_wrapper) == {"type", "optimizer"}


def test_an_optimizer_wrapper_of_another_type_is_rejected(toy):
    cfg = toy()
    cfg.optim_wrapper.type = "ApexOptimWrapper"
    with pytest.raises(ConfigError, match="ApexOptimWrapper"):
        enable_amp(cfg)
