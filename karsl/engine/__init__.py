"""Training with MMEngine's Runner: configs, hooks, checkpoints, mixed precision, distributed runs."""

from karsl.engine.checkpoint import SafeCheckpointHook, read_checkpoint
from karsl.engine.config.load import load_config, set_ann_file, set_data_root
from karsl.engine.config.loaders import check_inputs
from karsl.engine.hooks import DatasetSummaryHook, EpochHook, ResumeHook, StopWorkersHook
from karsl.engine.train import CpuAmpOptimWrapper, build_runner, enable_amp, launch, shut_down

__all__ = [
    "CpuAmpOptimWrapper",
    "DatasetSummaryHook",
    "EpochHook",
    "ResumeHook",
    "SafeCheckpointHook",
    "StopWorkersHook",
    "build_runner",
    "check_inputs",
    "enable_amp",
    "launch",
    "load_config",
    "read_checkpoint",
    "set_ann_file",
    "set_data_root",
    "shut_down",
]
