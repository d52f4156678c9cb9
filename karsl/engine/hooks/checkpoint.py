"""Checkpoints that load with torch's weights-only guard on, and no allow-list."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from karsl.engine.hooks.plain import from_plain, to_plain
from karsl.errors import ConfigError, DatasetNotFoundError, first_line
from karsl.registry import HOOKS


@HOOKS.register_module()
class SafeCheckpointHook(Hook):
    """Write the message hub and all other state as plain values, and turn them back at loading.

    MMEngine pickles its history buffers into checkpoints. torch >= 2.6 refuses them, so resuming fails; allowing the
    classes needs `getattr` on the list, which lets a checkpoint run code. Here the file holds tensors, numbers, strings,
    dicts and lists only. Entries that are no state are left out and named once in the log.
    """

    # After every other hook, so that what they add to the checkpoint is converted too.
    priority = "LOWEST"

    def __init__(self) -> None:
        self._named: set[str] = set()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Replace all but the weights by plain values."""
        dropped: list[str] = []
        weights = {"state_dict": checkpoint["state_dict"]} if "state_dict" in checkpoint else {}
        rest = {key: value for key, value in checkpoint.items() if key not in weights}
        plain = to_plain(rest, dropped)
        checkpoint.clear()
        checkpoint.update(plain, **weights)
        news = [place for place in dropped if place not in self._named]
        if news:
            self._named.update(news)
            runner.logger.warning(f"not state, left out of the checkpoint: {', '.join(news)}")

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Turn plain values back into what MMEngine expects."""
        for key in checkpoint.keys() - {"state_dict"}:
            checkpoint[key] = from_plain(checkpoint[key])
        if isinstance(runner._train_loop, BaseLoop):
            _share_metainfo(checkpoint.get("meta", {}), runner.train_dataloader.dataset)


def _share_metainfo(meta: dict, dataset: Any) -> None:
    """Silence a false alarm: MMEngine compares the pickles of both metainfos, which differ between equal values."""
    current = getattr(dataset, "metainfo", None)
    try:
        same = bool(meta.get("dataset_meta") == current)
    except ValueError:  # arrays inside have no single truth value
        return
    if same:
        meta["dataset_meta"] = current


def read_checkpoint(path: str | Path) -> dict:
    """Open a checkpoint as weights-only data, memory-mapped, so that only what is used is read.

    Args:
        path: A local `.pth` file.

    Returns:
        Its content as saved.

    Raises:
        DatasetNotFoundError: The file is not there.
        ConfigError: The file is no checkpoint, is cut off, or holds objects that could run code.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise DatasetNotFoundError(f"checkpoint '{path}' does not exist; 'karsl train' writes epoch_N.pth into its work dir")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise ConfigError(
            f"checkpoint '{path}' holds Python objects beside the weights, which could run code, and is refused; "
            "save it again with SafeCheckpointHook, or keep its 'state_dict' only, from a source that you trust"
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise ConfigError(f"checkpoint '{path}' cannot be read ({first_line(error)}); is it cut off?") from error
    if not isinstance(content, dict):
        raise ConfigError(f"checkpoint '{path}' holds a {type(content).__name__}, not the dict of a checkpoint")
    return content
