"""Training with MMEngine's Runner: configs, hooks, checkpoints, mixed precision, distribution."""

from karsl.engine.amp import CpuAmpOptimWrapper, enable_amp
from karsl.engine.arguments import naming_arguments
from karsl.engine.build import build_runner
from karsl.engine.checkpoint import SafeCheckpointHook, read_checkpoint
from karsl.engine.config import load_config
from karsl.engine.contents import ContentsHook
from karsl.engine.epoch import EpochHook
from karsl.engine.launch import launch, shut_down
from karsl.engine.overrides import set_ann_file, set_data_root
from karsl.engine.resume import ResumeHook
from karsl.engine.workers import StopWorkersHook

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
