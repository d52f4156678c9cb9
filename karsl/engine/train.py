"""Building a Runner from a config; mixed precision on CPU; distributed runs without a GPU."""

from __future__ import annotations

import copy
import logging
import os
import subprocess
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import distributed, nn

from karsl.engine.checkpoint import SafeCheckpointHook, read_checkpoint
from karsl.engine.config.errors import check_arguments, check_keys, join_sentences
from karsl.engine.config.loaders import qualify_collate
from karsl.engine.config.model_args import infer_model_args
from karsl.engine.config.tree import LOADERS, user_keys
from karsl.engine.hooks import DatasetSummaryHook, EpochHook, ResumeHook, StopWorkersHook
from karsl.errors import ConfigError
from karsl.registry import OPTIM_WRAPPERS

_REQUIRED_HOOKS = (DatasetSummaryHook, EpochHook, ResumeHook, SafeCheckpointHook, StopWorkersHook)
_MAX_CONSOLE_LINES = 8  # of a message; MMEngine logs environment, config and hooks at each start, some 300 lines
# Environment variables of rank, world size and local rank per launcher.
_VARIABLES = {
    "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
}


def build_runner(cfg: Config, *, metainfo: Mapping[str, Any] | None = None) -> Runner:
    """Build MMEngine's Runner.

    Checks the config, adds `DatasetSummaryHook`, `EpochHook`, `ResumeHook`, `SafeCheckpointHook` and `StopWorkersHook`
    unless present, replaces MMEngine's plain Visualizer, which needs matplotlib, by `LogVisualizer`, and replaces the
    `'auto'` arguments of the model, see `infer_model_args`. The checkpoint of `load_from` is opened first, so that a bad
    file fails before anything is built. Environment, config and hooks are logged to the file only.

    Args:
        cfg: A complete config, from `load_config` or built by hand; hooks, collate functions and visualizer are set in
            place.
        metainfo: Metainfo of the dataset that the model was trained on, for `'auto'`; None uses the dataset.

    Returns:
        The Runner, not started. `runner.cfg` has the values of `'auto'` arguments.

    Raises:
        ConfigError: If a top-level key is missing or mistyped, a `type` is not registered, or an argument is missing or
            unknown. Lists all mistakes.
        DatasetNotFoundError: If `load_from` or a data root does not exist.
    """
    check_keys(user_keys(cfg))
    for key in ("model", "work_dir"):
        if not cfg.get(key):
            raise ConfigError(f"the config has no '{key}'; give one, or load it with karsl.engine.load_config")
    if cfg.get("load_from") and "://" not in str(cfg.load_from):
        read_checkpoint(cfg.load_from)
    add_hooks(cfg)
    for name in LOADERS:
        if isinstance(cfg.get(name), MutableMapping):
            qualify_collate(cfg[name], name)
    if _type_name(cfg.get("visualizer") or {"type": "Visualizer"}) == "Visualizer":
        backends = [{"type": "LocalVisBackend"}]
        cfg.visualizer = {"vis_backends": backends, **(cfg.get("visualizer") or {}), "type": "karsl.LogVisualizer"}
    possible_mistakes = check_arguments(cfg)
    try:
        return _runner_class(metainfo).from_cfg(cfg)
    except (KeyError, TypeError) as error:
        if not possible_mistakes:
            raise
        raise ConfigError(join_sentences(possible_mistakes)) from error


def _runner_class(metainfo: Mapping[str, Any] | None) -> type[Runner]:
    class AutoRunner(Runner):
        """A Runner that infers model arguments from the dataset which it then uses.

        This happens as soon as there is a log: after distributed initialization, before the config is logged and dumped.
        """

        def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
            logger = super().build_logger(*args, **kwargs)
            _shorten_console(logger)
            if isinstance(self.cfg.get("model"), Mapping):
                for name, dataset in infer_model_args(self.cfg, metainfo).items():
                    # `build_dataloader` copies its config, but not a function in it
                    getattr(self, f"_{name}")["dataset"] = {"type": lambda dataset=dataset: dataset}
            return logger

        def build_model(self, model: nn.Module | dict) -> nn.Module:
            if isinstance(model, dict):
                model.update(copy.deepcopy(self.cfg.model))
            return super().build_model(model)

    return AutoRunner


def _shorten_console(logger: MMLogger) -> None:
    """Leave long messages, such as the config, to the log file, if there is one."""
    files = [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
    if not files:
        return
    for handler in logger.handlers:
        if handler not in files:
            handler.addFilter(_is_for_console)
    logger.info("environment, config and hooks are in %s", files[0].baseFilename)


def _is_for_console(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or record.getMessage().count("\n") < _MAX_CONSOLE_LINES


def add_hooks(cfg: Config) -> None:
    """Append the hooks that karsl needs to `cfg.custom_hooks`, unless present under any spelling."""
    hooks = list(cfg.get("custom_hooks") or [])
    present = {_type_name(hook) for hook in [*hooks, *(cfg.get("default_hooks") or {}).values()]}
    missing = [hook for hook in _REQUIRED_HOOKS if hook.__name__ not in present]
    cfg.custom_hooks = hooks + [{"type": f"karsl.{hook.__name__}"} for hook in missing]


def _type_name(component: Any) -> str:
    kind = component.get("type", "") if isinstance(component, Mapping) else type(component)
    return (kind if isinstance(kind, str) else getattr(kind, "__name__", "")).rpartition(".")[2]


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(OptimWrapper):
    """Run the forward pass under bfloat16 autocast on CPU; weights and optimizer stay float32.

    The arguments are those of `OptimWrapper`. bfloat16 has the range of float32, so there is no loss scaling. MMEngine's
    AmpOptimWrapper asserts a GPU.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Enter the context of the forward pass of one iteration."""
        with super().optim_context(model), torch.autocast("cpu", dtype=torch.bfloat16):
            yield


def enable_amp(cfg: ConfigDict) -> None:
    """Enable mixed precision in a config: MMEngine's wrapper on a GPU, `CpuAmpOptimWrapper` otherwise.

    Args:
        cfg: Modified in place.

    Raises:
        ConfigError: If the config has an optimizer wrapper of another type.
    """
    wrapper = cfg.optim_wrapper
    name = _type_name({"type": "OptimWrapper", **wrapper})
    if name not in ("OptimWrapper", "AmpOptimWrapper", "CpuAmpOptimWrapper"):
        raise ConfigError(f"--amp cannot be combined with optim_wrapper type '{name}'; use OptimWrapper")
    if torch.cuda.is_available():
        wrapper["type"] = "AmpOptimWrapper"
        wrapper.setdefault("loss_scale", "dynamic")
    else:
        wrapper["type"] = "karsl.CpuAmpOptimWrapper"
        wrapper.pop("loss_scale", None)
        wrapper.pop("dtype", None)


def launch(cfg: Config, launcher: str) -> None:
    """Set the launcher; without a GPU, also initialize the process group with gloo.

    MMEngine calls `torch.cuda.set_device` with any backend and passes `device_ids` to DDP. So on CPU the group is
    initialized before the Runner, which then leaves it alone, and the model wrapper gets no device. With a GPU, MMEngine
    does everything.

    Args:
        cfg: Modified in place: `launcher`, and on CPU `model_wrapper_cfg` and the backend.
        launcher: `none`, `pytorch`, `slurm` or `mpi`.

    Raises:
        ConfigError: If the launcher is unknown or its environment variables are missing.
    """
    if launcher != "none" and launcher not in _VARIABLES:
        raise ConfigError(f"launcher '{launcher}' is none of none, {', '.join(_VARIABLES)}")
    cfg.launcher = launcher
    if launcher == "none" or torch.cuda.is_available():
        return
    wrapper = {
        "type": "MMDistributedDataParallel",
        "broadcast_buffers": False,  # MMEngine's default
        "find_unused_parameters": cfg.get("find_unused_parameters", False),
    }
    cfg.model_wrapper_cfg = {**wrapper, **(cfg.get("model_wrapper_cfg") or {}), "device_ids": None}
    cfg.setdefault("env_cfg", {})["dist_cfg"] = {"backend": "gloo"}
    if not distributed.is_initialized():
        _export_ranks(launcher)
        distributed.init_process_group("gloo")


def shut_down() -> None:
    """Destroy the process group, if there is one."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _export_ranks(launcher: str) -> None:
    """Set the environment variables that torch reads from those of the launcher."""
    names = _VARIABLES[launcher]
    missing = [name for name in names if name not in os.environ]
    if missing:
        start = {"pytorch": "torchrun --nproc_per_node=2", "slurm": "srun", "mpi": "mpirun -np 2"}[launcher]
        raise ConfigError(
            f"--launcher {launcher} finds no {', '.join(missing)} in the environment; start with '{start} ...'"
        )
    for name, source in zip(_VARIABLES["pytorch"], names, strict=True):
        os.environ[name] = os.environ[source]
    if "MASTER_ADDR" not in os.environ:
        os.environ["MASTER_ADDR"] = _first_slurm_node() if launcher == "slurm" else "127.0.0.1"
    os.environ.setdefault("MASTER_PORT", "29500")  # torch's default


def _first_slurm_node() -> str:
    nodes = subprocess.run(
        ["scontrol", "show", "hostname", os.environ.get("SLURM_NODELIST", "")], capture_output=True, text=True
    )
    if nodes.returncode or not nodes.stdout.strip():
        raise ConfigError("slurm returned no node names; set MASTER_ADDR to the address of the first node")
    return nodes.stdout.split()[0]
