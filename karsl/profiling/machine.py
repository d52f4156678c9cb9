"""Machine and packages of a measurement, for the file of its results."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from importlib.metadata import distributions
from typing import Any

import psutil
import torch

_PACKAGES = (
    "karsl", "torch", "numpy", "numba", "deflate", "mmengine", "mmengine-lite", "onedl-mmengine", "opencv-python-headless",
)  # fmt: skip


def describe_machine() -> dict[str, Any]:
    """Return system, processor, cores, memory and GPUs.

    Example:
        >>> sorted(describe_machine())
        ['cores', 'gpus', 'memory_gib', 'processor', 'system', 'usable_cores']
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "usable_cores": usable,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": gpus,
    }


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that influence the speed of a loader.

    Example:
        >>> package_versions()["torch"] == torch.__version__
        True
    """
    installed = {distribution.metadata["Name"]: distribution.version for distribution in distributions()}
    found = {name: installed[name] for name in _PACKAGES if name in installed}
    return {"python": sys.version.split()[0], **found, "torch": torch.__version__}


def _processor() -> str:
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
