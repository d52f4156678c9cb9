"""Training with MMEngine's Runner: configs, hooks, checkpoints, mixed precision, distribution."""

from karsl.engine.amp import CpuAmpOptimWrapper, enable_amp
from karsl.engine.build import build_runner
from karsl.engine.config.arguments import naming_arguments
from karsl.engine.config.load import load_config
from karsl.engine.config.overrides import set_ann_file, set_data_root
from karsl.engine.hooks.checkpoint import SafeCheckpointHook, read_checkpoint
from karsl.engine.hooks.contents import ContentsHook
from karsl.engine.hooks.epoch import EpochHook
from karsl.engine.hooks.resume import ResumeHook
from karsl.engine.hooks.workers import StopWorkersHook
from karsl.engine.launch import launch, shut_down

__all__ = [
    "ContentsHook",
    "CpuAmpOptimWrapper",
    "EpochHook",
    "ResumeHook",
    "SafeCheckpointHook",
    "StopWorkersHook",
    "build_runner",
    "enable_amp",
    "launch",
    "load_config",
    "naming_arguments",
    "read_checkpoint",
    "set_ann_file",
    "set_data_root",
    "shut_down",
]
