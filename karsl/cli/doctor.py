"""`karsl doctor`: what is installed and what this machine allows, for the user and for bug reports."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from karsl.errors import SHARED_MEMORY_REMEDY, first_line, pluralize
from karsl.version import __version__

__all__ = ["EXTRAS", "Check", "Extra", "check_environment"]

SUMMARY = "show versions, extras and what this machine allows, for a bug report"
_REQUIRED = ("torch", "numpy", "filelock", "msgpack", "msgspec", "platformdirs", "psutil", "rich", "xxhash")
_ENGINES = ("mmengine-lite", "mmengine", "onedl-mmengine")
_LITTLE_SHARED_MEMORY = 1 << 30  # a container has 64 MiB by default
_FEW_FILES = 4096  # a batch in shared memory and a mapped shard each are one open file
_MIB = 1 << 20


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Args:
        group: Heading.
        name: What is checked.
        value: What was found.
        advice: What it means or what to do, one sentence; may be empty.
    """

    group: str
    name: str
    value: str
    advice: str = ""


@dataclass(frozen=True)
class Extra:
    """An extra of `setup.cfg` that users install.

    Args:
        enables: What it enables.
        libraries: Distributions that it installs itself.
        includes: Extras that it includes.
    """

    enables: str
    libraries: tuple[str, ...]
    includes: tuple[str, ...] = ()


EXTRAS = {
    "fast": Extra("batches in one compiled pass; faster npz archives", ("numba", "deflate")),
    "viz": Extra("pictures, contact sheets, plots", ("arabic-reshaper", "matplotlib", "pillow", "python-bidi")),
    "video": Extra("videos that browsers play", ("imageio-ffmpeg",), ("viz",)),
    "stream": Extra("clips on s3://, gs://, hf:// and others; http(s) needs nothing", ("fsspec",)),
    "h5": Extra("clips in HDF5 files", ("h5py",)),
    "labels": Extra("the official label sheet, an xlsx file", ("openpyxl",)),
    "pose": Extra("reading and writing .pose files", ("pose-format",)),
    "parquet": Extra("parquet files of Hugging Face and Kaggle", ("pyarrow",)),
    "pandas": Extra("tables of records: dataset.to_pandas()", ("pandas",), ("parquet",)),
    "rerun": Extra("three-dimensional clips in Rerun's viewer", ("rerun-sdk",)),
    "extract": Extra("keypoints from videos", ("ai-edge-litert", "av", "pillow"), ("fast",)),
    "onnx": Extra("exported models; networks of 133 keypoints", ("onnx", "onnxruntime"), ("extract",)),
    "ray": Extra("datasets and packing on a Ray cluster", ("ray",)),
    "completion": Extra("completion of commands and options in a shell", ("shtab",)),
}
"""The extras for users, in the order of the report."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.description = (
        "Show the versions of karsl and its libraries, what each extra enables, and what this machine allows, with advice. "
        "Paste the output into a bug report; it contains the folder of the cache and that of Python."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of text")


def run(args: argparse.Namespace) -> int:
    """Print the report."""
    checks = list(check_environment())
    if args.json:
        print(json.dumps({"karsl": __version__, "checks": [asdict(check) for check in checks]}, indent=2, ensure_ascii=True))
        return 0
    width = max(len(check.name) for check in checks)
    group = ""
    for check in checks:
        if check.group != group:
            print(f"{os.linesep if group else ''}{check.group}")
            group = check.group
        print(f"  {check.name:{width}}  {check.value}")
        if check.advice:
            indent = " " * (width + 4)
            print(textwrap.fill(check.advice, 80, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False))
    return 0


def check_environment() -> Iterator[Check]:
    """Yield the lines of the report. A check that fails is a line with its error, since others are then needed most."""
    spec = find_spec("karsl")
    package = (spec.submodule_search_locations if spec else None) or ["unknown"]
    yield Check("versions", "karsl", f"{__version__} in {package[0]}")
    yield Check("versions", "python", f"{platform.python_version()} at {sys.executable}")
    yield Check("versions", "system", platform.platform())
    for name in _REQUIRED:
        found = _version(name)
        yield Check("versions", name, found or "not installed", "" if found else "required; install karsl again")
    yield _guarded("versions", "engine", _engine)
    for name, extra in EXTRAS.items():
        yield _extra(name, extra)
    for name, check in (
        ("compiled pass", _compiled_pass),
        ("processors", _processors),
        ("GPU", _gpu),
        ("start method", _start_method),
        ("shared memory", _shared_memory),
        ("page map", _page_map),
        ("open files", _open_files),
        ("fonts", _fonts),
        ("cache folder", _cache_folder),
    ):
        yield _guarded("machine", name, check)


def _guarded(group: str, name: str, check: Callable[[], tuple[str, str]]) -> Check:
    try:
        return Check(group, name, *check())
    except ModuleNotFoundError as error:
        return Check(group, name, "not checked", f"{error.name} is not installed")
    except Exception as error:  # of any class: a library that does not import is what the report is for
        return Check(group, name, "failed", f"{type(error).__name__}: {first_line(error)}")


def _version(name: str) -> str:
    """Return the version of a distribution, empty if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _versions(names: Sequence[str]) -> list[str]:
    return [f"{name} {found}" for name in names if (found := _version(name))]


def _engine() -> tuple[str, str]:
    found = _versions(_ENGINES)
    if not found:
        return "not installed", "training and datasets need MMEngine: pip install 'karsl[mmengine]' or 'karsl[onedl]'"
    if len(found) > 1:
        return ", ".join(found), "these write the same files: uninstall all of them, then install one"
    import mmengine.runner  # noqa: F401  # which imports OpenCV

    return found[0], "one of two: mmengine-lite, or its fork onedl-mmengine"


def _extra(name: str, extra: Extra) -> Check:
    absent = [library for library in _libraries(extra) if not _version(library)]
    if absent:
        return Check("extras", name, f"not installed: {', '.join(absent)}", f"{extra.enables}: pip install 'karsl[{name}]'")
    included = [f"and those of {included}" for included in extra.includes]
    return Check("extras", name, ", ".join([*_versions(extra.libraries), *included]), extra.enables)


def _libraries(extra: Extra) -> list[str]:
    """Return the distributions of an extra and of those that it includes."""
    included = (library for name in extra.includes for library in _libraries(EXTRAS[name]))
    return [*dict.fromkeys([*extra.libraries, *included])]


def _compiled_pass() -> tuple[str, str]:
    from karsl.datasets.batching import uncompiled_reason

    reason = uncompiled_reason()
    return ("no", f"samples are made one by one: {reason}") if reason else ("yes", "batches are made in one compiled pass")


def _processors() -> tuple[str, str]:
    import psutil

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = psutil.virtual_memory()
    value = f"{usable} of {os.cpu_count()} usable, {memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"
    return value, "'karsl bench CONFIG' finds the best number of workers"


def _gpu() -> tuple[str, str]:
    import torch

    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        return f"{names}, CUDA {torch.version.cuda}", "device_collate makes batches there, see docs/howto-feed-a-gpu.md"
    if shutil.which("nvidia-smi") or Path("/dev/nvidiactl").exists():
        if torch.version.cuda is None:
            return "not used", "there is an NVIDIA driver, but torch is a CPU build: install one with CUDA"
        return "not used", f"torch needs a driver for CUDA {torch.version.cuda}; compare it with 'nvidia-smi'"
    if torch.backends.mps.is_available():
        return "Apple MPS", "models run there"
    return "none", "models are trained on the processor"


def _start_method() -> tuple[str, str]:
    value = f"{multiprocessing.get_start_method()} of {', '.join(multiprocessing.get_all_start_methods())}"
    return value, "of plain loaders; MMEngine's Runner selects fork unless env_cfg.mp_cfg names another one"


def _shared_memory() -> tuple[str, str]:
    from multiprocessing.shared_memory import SharedMemory

    try:
        block = SharedMemory(create=True, size=1)
        block.close()
        block.unlink()
    except OSError as error:
        return f"none ({first_line(error)})", SHARED_MEMORY_REMEDY
    if not Path("/dev/shm").is_dir():
        return "yes", "workers send their batches through it"
    free = shutil.disk_usage("/dev/shm").free
    value = f"{free / _MIB:,.0f} MiB free in /dev/shm"
    return value, SHARED_MEMORY_REMEDY if free < _LITTLE_SHARED_MEMORY else "workers send their batches through it"


def _page_map() -> tuple[str, str]:
    import numpy as np

    from karsl.profiling.proc import count_addresses

    page = np.ones(1)
    if count_addresses(os.getpid(), np.array([page.ctypes.data])) is None:
        return "not readable", "'karsl memory' estimates from totals whether records are shared"
    return "readable", "'karsl memory' counts the pages of records exactly"


def _open_files() -> tuple[str, str]:
    if not find_spec("resource"):
        return "not limited here", "Windows has no such limit"
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= _FEW_FILES:
        return f"at most {soft}" if soft >= 0 else "not limited", "enough for many workers and shards"
    more = _FEW_FILES if hard == resource.RLIM_INFINITY else min(_FEW_FILES, hard)
    return f"at most {soft}", f"many workers or shards need more: run 'ulimit -n {more}' before"


def _fonts() -> tuple[str, str]:
    if not _version("pillow"):
        return "not checked", "drawing needs Pillow: pip install 'karsl[viz]'"
    from karsl.visualization.draw.canvas import arabic_font, arabic_problem

    font, problem = arabic_font(12), arabic_problem()
    if font is None or problem:
        return "Latin only", problem or ""
    return " ".join(font.getname()), "Arabic glosses are drawn"


def _cache_folder() -> tuple[str, str]:
    from karsl.io.cache_folder import user_cache_folder

    folder = user_cache_folder()
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / _MIB
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free / 2**30
    value = f"{folder}: {pluralize(len(files), 'file')}, {size:,.0f} MiB; {free:,.0f} GiB free"
    return value, "may be removed at any time; XDG_CACHE_HOME selects another one"
