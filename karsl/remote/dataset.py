"""A dataset in Ray actors, read like one that is here."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from karsl.checks import check_int
from karsl.errors import ConfigError
from karsl.registry import DATASETS
from karsl.remote.actor import Draws, agreed_seed
from karsl.remote.batches import AnnouncedBatches
from karsl.remote.calls import Calls, Request
from karsl.remote.session import connect
from karsl.skeletons import Skeleton


@DATASETS.register_module()
class RemoteDataset(Dataset):
    """A dataset that lives in Ray actors, on this machine or on any node of a cluster.

    A batch is one call to one actor: `__getitems__`, which PyTorch's DataLoader uses, with `num_workers=0`, since the
    actors are the workers. `AnnouncedBatches` around a batch sampler lets actors work ahead. Batches are those that the
    dataset gives here, to the last bit, whichever actor makes them; when an actor or its node dies, Ray starts it anew and
    what was lost is made again, so every batch comes once and in order.

    Args:
        dataset: Config of any dataset of karsl's, its files on a path that every node has. A dataset object that pickles to
            another machine does as well.
        num_actors: Processes that make batches.
        address: Of a Ray cluster; see `karsl.remote.connect`.
        num_cpus: That Ray reserves for an actor; 0.5 puts two on a core.
        max_bytes: Of batches that are made, or being made, ahead.
        seed: Makes draws a function of (seed, epoch, place); None takes the dataset's. With `test_mode=True` that is 0.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: No cluster answers, `num_actors` is below 1, or the dataset has another seed.
        KarslError: What the dataset raises when it is built.
    """

    def __init__(
        self,
        dataset: Any,
        num_actors: int = 2,
        *,
        address: str | None = None,
        num_cpus: float = 1.0,
        max_bytes: int = 256 << 20,
        seed: int | None = None,
    ) -> None:
        if num_actors < 1 or max_bytes < 1:
            raise ConfigError(f"RemoteDataset: num_actors={num_actors!r}, max_bytes={max_bytes!r}; expected at least 1")
        connect(address)
        self._calls = Calls(dataset, num_actors, num_cpus=num_cpus, max_bytes=max_bytes)
        try:
            self._facts = self._calls.ask("facts")
            self._seed = agreed_seed("RemoteDataset", seed, self._facts["seed"])
        except BaseException:
            self._calls.end()
            raise
        self._epoch = 0

    def __len__(self) -> int:
        return self._facts["length"]

    @property
    def metainfo(self) -> dict:
        """Of the dataset."""
        return dict(self._facts.get("metainfo") or {})

    @property
    def skeleton(self) -> Skeleton | None:
        """What the keypoints on disk are."""
        return self._facts.get("skeleton")

    @property
    def output_skeleton(self) -> Skeleton | None:
        """What the keypoints are at the end of the pipeline."""
        return self._facts.get("output_skeleton")

    @property
    def output_channels(self) -> int:
        """C at the end of the pipeline."""
        return self._facts.get("output_channels", 3)

    def set_epoch(self, epoch: int, seed: int | None = None) -> None:
        """Say which epoch is drawn; batches made ahead for another are given up.

        Args:
            epoch: 0 or more.
            seed: Used if there is none yet.

        Raises:
            ConfigError: Not a whole number of 0 to 2**63 - 1.
        """
        check_int("set_epoch", epoch=epoch, seed=seed or 0)
        self._epoch, self._seed = epoch, (seed or 0) if self._seed is None else self._seed
        self._calls.drop()

    def full_init(self) -> None:
        """The actors have done it."""

    def get_data_info(self, idx: int) -> dict:
        """A record, asked of an actor."""
        return self._calls.ask("ask", "get_data_info", operator.index(idx))

    def get_cat_ids(self, idx: int) -> list[int]:
        """`[label]` of a record."""
        return self._calls.ask("ask", "get_cat_ids", operator.index(idx))

    def column(self, name: str) -> np.ndarray:
        """(n,) numbers of one record key."""
        return self._calls.ask("ask", "column", name)

    def announce(self, indices: Sequence[int]) -> bool:
        """Have a batch made ahead.

        Returns:
            False while there are `max_bytes` of batches that nobody took; then nothing is done.
        """
        if self._calls.room < 1:
            return False
        self._calls.start(self._request(indices))
        return True

    def __getitem__(self, idx: int) -> Any:
        place = operator.index(idx)
        if not -len(self) <= place < len(self):
            raise IndexError(f"index {idx} is outside a RemoteDataset of {len(self)} clips")
        return self.__getitems__([place])[0]

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        """N samples, of one call; `keypoint_collate` takes them as a finished batch."""
        if get_worker_info() is not None:
            raise ConfigError("RemoteDataset: num_workers=0 is needed in the loader; its workers are the actors")
        batch, samples = self._calls.take(self._request(indices))
        return samples if batch is None else RemoteBatch(batch, len(indices))

    def batches(self, indices: Iterable[Sequence[int]]) -> Iterator[dict[str, Any]]:
        """Finished batches of lists of places, in order, with as many ahead as `max_bytes` allows."""
        for chosen in AnnouncedBatches(indices, self):
            found = self.__getitems__(chosen)
            if not isinstance(found, RemoteBatch):
                raise ConfigError("RemoteDataset.batches: clips differ in shape; end the pipeline with PackKeypointInputs")
            yield found.finished()

    def close(self) -> None:
        """End the actors."""
        self._calls.end()

    def _request(self, indices: Sequence[int]) -> Request:
        draws: Draws = None if self._seed is None else (self._epoch, self._seed)
        return tuple(operator.index(i) for i in indices), draws

    def __deepcopy__(self, memo: dict) -> RemoteDataset:
        return self  # MMEngine copies configs; the actors stay those

    def __getstate__(self) -> dict:
        raise ConfigError("RemoteDataset: it does not travel to another process; make one there, with the same address")


class RemoteBatch(Sequence):
    """A batch that arrived; `keypoint_collate` takes it whole, others see samples."""

    def __init__(self, arrays: dict[str, Any], length: int) -> None:
        self._arrays, self._length = arrays, length

    def finished(self) -> dict[str, Any]:
        """Tensors with memory of their own."""
        return {k: torch.from_numpy(v.copy()) if isinstance(v, np.ndarray) else v for k, v in self._arrays.items()}

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, at: Any) -> Any:
        number = range(self._length)[operator.index(at)]
        return {key: _one(values[number]) for key, values in self._arrays.items()}


def _one(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    return value.item() if isinstance(value, np.generic) else value
