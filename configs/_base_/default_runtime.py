"""Hooks, logging and seed of every run."""

from mmengine.hooks import (
    CheckpointHook,
    DistSamplerSeedHook,
    IterTimerHook,
    LoggerHook,
    ParamSchedulerHook,
    RuntimeInfoHook,
)
from mmengine.runner import LogProcessor
from mmengine.visualization import LocalVisBackend

from karsl.engine import DatasetSummaryHook, EpochHook, ResumeHook, SafeCheckpointHook, StopWorkersHook
from karsl.visualization import LogVisualizer

default_scope = "karsl"

default_hooks = dict(
    runtime_info=dict(type=RuntimeInfoHook),
    timer=dict(type=IterTimerHook),
    logger=dict(type=LoggerHook, interval=20, ignore_last=False),
    param_scheduler=dict(type=ParamSchedulerHook),
    checkpoint=dict(type=CheckpointHook, interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type=DistSamplerSeedHook),
)
custom_hooks = [
    dict(type=DatasetSummaryHook),
    dict(type=EpochHook),
    dict(type=ResumeHook),
    dict(type=SafeCheckpointHook),
    dict(type=StopWorkersHook),
]

# fork is MMEngine's default; karsl also works with spawn and forkserver.
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)

log_processor = dict(type=LogProcessor, window_size=20, by_epoch=True)
log_level = "INFO"
vis_backends = [dict(type=LocalVisBackend)]
visualizer = dict(type=LogVisualizer, vis_backends=vis_backends)

randomness = dict(seed=0)
load_from = None
resume = False
