"""Distributed training where there is no GPU."""

from __future__ import annotations

import os
import subprocess

import torch
from mmengine.config import Config
from torch import distributed

from karsl.errors import ConfigError

# Where each launcher writes rank, world size and local rank.
_VARIABLES = {
    "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
}


def launch(cfg: Config, launcher: str) -> None:
    """Choose the launcher; on a machine without a GPU also join the group, with gloo.

    MMEngine calls `torch.cuda.set_device` whatever the backend and hands `device_ids` to DDP. So on CPU the group exists
    before the Runner, which then leaves it alone, and the model wrapper is told to use no device. With a GPU all is left
    to MMEngine.

    Args:
        cfg: Changed in place: `launcher`, and on CPU `model_wrapper_cfg` and the backend.
        launcher: `none`, `pytorch`, `slurm` or `mpi`.

    Raises:
        ConfigError: The launcher is unknown or its environment variables are absent.
    """
    if launcher != "none" and launcher not in _VARIABLES:
        raise ConfigError(f"launcher '{launcher}' is none of none, {', '.join(_VARIABLES)}")
    cfg.launcher = launcher
    if launcher == "none" or torch.cuda.is_available():
        return
    wrapper = {
        "type": "MMDistributedDataParallel",
        "broadcast_buffers": False,  # as MMEngine does when it wraps by itself
        "find_unused_parameters": cfg.get("find_unused_parameters", False),
    }
    cfg.model_wrapper_cfg = {**wrapper, **(cfg.get("model_wrapper_cfg") or {}), "device_ids": None}
    cfg.setdefault("env_cfg", {})["dist_cfg"] = {"backend": "gloo"}
    if not distributed.is_initialized():
        _export_ranks(launcher)
        distributed.init_process_group("gloo")


def shut_down() -> None:
    """Leave the process group, if there is one."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _export_ranks(launcher: str) -> None:
    names = _VARIABLES[launcher]
    absent = [name for name in names if name not in os.environ]
    if absent:
        start = {"pytorch": "torchrun --nproc_per_node=2", "slurm": "srun", "mpi": "mpirun -np 2"}[launcher]
        raise ConfigError(f"--launcher {launcher} finds no {', '.join(absent)} in the environment; start with '{start} ...'")
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
        raise ConfigError("slurm gives no node names; set MASTER_ADDR to the address of the first node")
    return nodes.stdout.split()[0]
