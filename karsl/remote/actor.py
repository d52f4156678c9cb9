"""What runs in a Ray actor: a dataset that answers with whole batches."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch

from karsl.checks import check_int
from karsl.datasets.collate import keypoint_collate
from karsl.errors import ConfigError
from karsl.remote.session import need_ray

Draws = tuple[int, int] | None
"""Epoch and seed; None leaves draws to the dataset."""


class DatasetActor:
    """A dataset in a process of its own, on any node.

    Args:
        dataset: A config, or a dataset that pickles to another machine.
    """

    def __init__(self, dataset: Any) -> None:
        torch.set_num_threads(1)
        self._given = dataset
        self._drawn: Draws = None

    @cached_property
    def dataset(self) -> Any:
        """Built at the first call, which then has its errors: those of a constructor would not come through whole."""
        return build(self._given)

    def facts(self) -> dict[str, Any]:
        """What a RemoteDataset says of itself without asking again."""
        dataset = self.dataset
        names = ("metainfo", "skeleton", "output_skeleton", "output_channels")
        draws = getattr(dataset, "_epoch_state", None)
        facts = {name: getattr(dataset, name) for name in names if hasattr(dataset, name)}
        return {**facts, "length": len(dataset), "seed": getattr(draws, "seed", None)}

    def batch(self, indices: Sequence[int], draws: Draws) -> tuple[dict | None, Any]:
        """Samples at some places, as one batch of arrays, or, where they cannot be stacked, one by one.

        Returns:
            Arrays by name and None; or None and a list.
        """
        if draws is not None and draws != self._drawn and hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(draws[0], seed=draws[1])
            self._drawn = draws
        dataset = self.dataset
        samples = dataset.__getitems__(indices) if hasattr(dataset, "__getitems__") else [dataset[i] for i in indices]
        batch = samples.finished() if hasattr(samples, "finished") else None
        if batch is None:
            samples = list(samples)
            alike = samples and all(isinstance(s, dict) and "inputs" in s for s in samples)
            shapes = {tuple(s["inputs"].shape) for s in samples} if alike else ()
            batch = keypoint_collate(samples) if len(shapes) == 1 else None
        if batch is None:
            return None, samples
        return {key: value.numpy() if isinstance(value, torch.Tensor) else value for key, value in batch.items()}, None

    def pid(self) -> int:
        """Of the process, on its node."""
        return os.getpid()

    def node(self) -> str:
        """The node it is on, as Ray names it."""
        return need_ray().get_runtime_context().get_node_id()

    def ask(self, method: str, *arguments: Any) -> Any:
        """A method of the dataset that gives plain data: `get_data_info`, `get_cat_ids`, `column`."""
        return getattr(self.dataset, method)(*arguments)


def agreed_seed(where: str, asked: int | None, own: int | None) -> int | None:
    """The seed that is asked for, else the dataset's own.

    Raises:
        ConfigError: They differ, or it is not a whole number of 0 to 2**63 - 1.

    Example:
        >>> agreed_seed("RemoteDataset", None, 3), agreed_seed("RemoteDataset", 5, None)
        (3, 5)
    """
    if asked is None:
        return own
    check_int(where, seed=asked)
    if own not in (None, asked):
        raise ConfigError(
            f"{where}: seed={asked}, but the dataset draws with seed {own} of its config; give only one of them"
        )
    return asked


def build(dataset: Any) -> Any:
    """A dataset of a config, whole; a dataset as it is."""
    from mmengine.registry import DefaultScope

    from karsl.registry import DATASETS

    if isinstance(dataset, Mapping):
        with DefaultScope.overwrite_default_scope("karsl"):
            dataset = DATASETS.build(dict(dataset))
    if hasattr(dataset, "full_init"):
        dataset.full_init()
    return dataset
