"""A dataset in Ray actors with the interface of a local one, and batch samplers that prefetch from it."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, Dataset, get_worker_info

from karsl.datasets.state import EpochState
from karsl.errors import ConfigError, pluralize
from karsl.ray.actors import ActorPool, Request, check_seed
from karsl.ray.session import connect
from karsl.registry import DATA_SAMPLERS, DATASETS
from karsl.skeletons import Skeleton


class PrefetchBatches:
    """A batch sampler that submits the next batches to a RayDataset; pass it to a DataLoader as `batch_sampler`.

    Args:
        batches: A batch sampler, or any iterable of lists of indices.
        dataset: Dataset that makes the batches.
        num_prefetch: Maximum number of batches that are read from `batches` in advance.
    """

    def __init__(self, batches: Iterable[Sequence[int]], dataset: RayDataset, *, num_prefetch: int = 64) -> None:
        self.batches, self.dataset, self.num_prefetch = batches, dataset, num_prefetch
        self.sampler = getattr(batches, "sampler", None)

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[list[int]]:
        queue: deque[list[int]] = deque()
        num_submitted, source = 0, iter(self.batches)
        while True:
            while len(queue) < self.num_prefetch and (indices := next(source, None)) is not None:
                queue.append(list(indices))
            while num_submitted < len(queue) and self.dataset.prefetch(queue[num_submitted]):
                num_submitted += 1
            if not queue:
                return
            yield queue.popleft()
            num_submitted = max(0, num_submitted - 1)


@DATA_SAMPLERS.register_module()
class PrefetchBatchSampler(PrefetchBatches):
    """`PrefetchBatches` for the configs of MMEngine's Runner: `batch_sampler=dict(type='PrefetchBatchSampler')`.

    Args:
        sampler: Sampler whose `dataset` is a RayDataset, as MMEngine's samplers have it.
        batch_size: Batch size.
        drop_last: True drops an incomplete last batch.
        num_prefetch: See `PrefetchBatches`.

    Raises:
        ConfigError: If the sampler's dataset cannot prefetch.
    """

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool = False, *, num_prefetch: int = 64) -> None:
        dataset: Any = getattr(sampler, "dataset", None)
        if not hasattr(dataset, "prefetch"):
            raise ConfigError(
                f"PrefetchBatchSampler: the sampler's dataset is a {type(dataset).__name__}, not a RayDataset; leave out "
                "the batch sampler"
            )
        super().__init__(BatchSampler(sampler, batch_size, drop_last), dataset, num_prefetch=num_prefetch)


@DATASETS.register_module()
class RayDataset(Dataset):
    """A dataset in Ray actors, on this machine or on any node of a cluster.

    A batch is one call to one actor: `__getitems__`, which PyTorch's DataLoader uses. The loader needs `num_workers=0`,
    since the actors are the workers. Wrap the batch sampler in `PrefetchBatches` so that actors work ahead. Batches are
    bitwise equal to those of the local dataset, independent of the actor. If an actor or its node dies, Ray restarts it and
    lost batches are made again, so each batch is returned once and in order.

    Args:
        dataset: Config of any karsl dataset, whose files have the same path on all nodes; or a dataset that can be pickled
            to another machine.
        num_actors: Number of processes that make batches.
        address: Address of a Ray cluster; see `karsl.ray.connect`.
        num_cpus: CPUs that Ray reserves per actor; 0.5 runs two actors on a core.
        max_bytes: Maximum size in bytes of prefetched batches.
        seed: Random seed; samples are a function of (seed, epoch, index). None uses the dataset's, which is 0 with
            `test_mode=True`.

    Raises:
        MissingExtraError: If Ray is not installed.
        ConfigError: If no cluster responds, `num_actors` is less than 1, or the dataset has a different seed.
        KarslError: Any error of building the dataset.
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
            raise ConfigError(f"RayDataset: num_actors={num_actors!r}, max_bytes={max_bytes!r}; expected at least 1")
        connect(address)
        self._pool = ActorPool(dataset, num_actors, num_cpus=num_cpus, max_bytes=max_bytes)
        try:
            self._metadata = self._pool.call("metadata")
            self._epoch_state = EpochState(check_seed("RayDataset", seed, self._metadata["seed"]))
        except BaseException:
            self._pool.close()
            raise

    def __len__(self) -> int:
        return self._metadata["length"]

    @property
    def metainfo(self) -> dict:
        """Metainfo of the dataset."""
        return dict(self._metadata.get("metainfo") or {})

    @property
    def skeleton(self) -> Skeleton | None:
        """Skeleton of the stored clips."""
        return self._metadata.get("skeleton")

    @property
    def output_skeleton(self) -> Skeleton | None:
        """Skeleton after the pipeline."""
        return self._metadata.get("output_skeleton")

    @property
    def output_channels(self) -> int:
        """Number of channels C after the pipeline."""
        return self._metadata.get("output_channels", 3)

    def set_epoch(self, epoch: int, seed: int | None = None) -> None:
        """Set the epoch, see `EpochState.set_epoch`, and discard batches prefetched for another."""
        self._epoch_state.set_epoch(epoch, seed=seed)
        self._pool.clear()

    def full_init(self) -> None:
        """Do nothing: the actors initialize the dataset."""

    def get_data_info(self, idx: int) -> dict:
        """Return a record."""
        return self._pool.call("call", "get_data_info", operator.index(idx))

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return `[label]` of a record."""
        return self._pool.call("call", "get_cat_ids", operator.index(idx))

    def column(self, name: str) -> np.ndarray:
        """Return one number per record, (n,)."""
        return self._pool.call("call", "column", name)

    def prefetch(self, indices: Sequence[int]) -> bool:
        """Start making a batch.

        Returns:
            False, without an effect, while there are `max_bytes` of batches that are not fetched.
        """
        if not self._pool.has_capacity:
            return False
        self._pool.submit(self._request(indices))
        return True

    def __getitem__(self, idx: int) -> Any:
        index = operator.index(idx)
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {idx} is out of range for a RayDataset of {pluralize(len(self), 'clip')}")
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        """Return N samples of a single call, which `keypoint_collate` uses as a complete batch."""
        if get_worker_info() is not None:
            raise ConfigError("RayDataset: the loader needs num_workers=0; the actors are its workers")
        batch, samples = self._pool.result(self._request(indices))
        return samples if batch is None else RayBatch(batch, len(indices))

    def batches(self, indices: Iterable[Sequence[int]]) -> Iterator[dict[str, Any]]:
        """Yield collated batches of lists of indices, in order, prefetched as far as `max_bytes` allows."""
        for batch_indices in PrefetchBatches(indices, self):
            batch = self.__getitems__(batch_indices)
            if not isinstance(batch, RayBatch):
                raise ConfigError("RayDataset.batches: clips differ in shape; end the pipeline with PackKeypointInputs")
            yield batch.collate()

    def close(self) -> None:
        """Stop the actors."""
        self._pool.close()

    def _request(self, indices: Sequence[int]) -> Request:
        seed = self._epoch_state.seed
        return tuple(operator.index(i) for i in indices), None if seed is None else (self._epoch_state.epoch, seed)

    def __deepcopy__(self, memo: dict) -> RayDataset:
        return self  # MMEngine copies configs; the actors are shared

    def __getstate__(self) -> dict:
        raise ConfigError("RayDataset: cannot be pickled to another process; create one there with the same address")


class RayBatch(Sequence):
    """A batch of arrays from an actor; `keypoint_collate` uses it as it is, indexing returns samples."""

    def __init__(self, arrays: dict[str, Any], length: int) -> None:
        self._arrays, self._length = arrays, length

    def collate(self) -> dict[str, Any]:
        """Return the batch as tensors that own their memory."""
        return {k: torch.from_numpy(v.copy()) if isinstance(v, np.ndarray) else v for k, v in self._arrays.items()}

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, row: Any) -> Any:
        number = range(self._length)[operator.index(row)]
        return {key: _to_sample_value(values[number]) for key, values in self._arrays.items()}


def _to_sample_value(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    return value.item() if isinstance(value, np.generic) else value
