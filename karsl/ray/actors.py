"""Ray actors that make batches, and a pool of them that survives the loss of actors and nodes."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from mmengine.registry import DefaultScope

from karsl.checks import check_int
from karsl.datasets.collate import keypoint_collate
from karsl.datasets.tree import first_seed
from karsl.errors import ConfigError, RemoteError
from karsl.ray.session import require_ray, wait_any
from karsl.registry import DATASETS

EpochSeed = tuple[int, int] | None
"""Epoch and seed. None leaves the random state to the dataset."""
Request = tuple[tuple[int, ...], EpochSeed]
"""Indices of a batch and the random state."""

_TIMEOUT_S = 300.0  # without any result, until a request fails
_AVOID_S = 10.0  # time for which an actor that was lost is the last choice
_RETRY_S = 0.2  # between attempts while all actors are lost


class DatasetActor:
    """A dataset in a process of its own, on any node.

    Args:
        dataset: A config, or a dataset that can be pickled to another machine.
    """

    def __init__(self, dataset: Any) -> None:
        torch.set_num_threads(1)
        self._source = dataset
        self._epoch_seed: EpochSeed = None

    @cached_property
    def dataset(self) -> Any:
        """The dataset, built at the first call: Ray does not transfer errors of a constructor completely."""
        dataset = self._source
        if isinstance(dataset, Mapping):
            with DefaultScope.overwrite_default_scope("karsl"):
                dataset = DATASETS.build(dict(dataset))
        if hasattr(dataset, "full_init"):
            dataset.full_init()
        return dataset

    def metadata(self) -> dict[str, Any]:
        """Return the attributes that a RayDataset stores locally."""
        dataset = self.dataset
        names = ("metainfo", "skeleton", "output_skeleton", "output_channels")
        attributes = {name: getattr(dataset, name) for name in names if hasattr(dataset, name)}
        return {**attributes, "length": len(dataset), "seed": first_seed([dataset])}

    def batch(self, indices: Sequence[int], epoch_seed: EpochSeed) -> tuple[dict | None, Any]:
        """Return samples as one batch of arrays or, if they cannot be stacked, one by one.

        Returns:
            Arrays by name and None, or None and a list of samples.
        """
        dataset = self.dataset
        if epoch_seed is not None and epoch_seed != self._epoch_seed and hasattr(dataset, "set_epoch"):
            dataset.set_epoch(epoch_seed[0], seed=epoch_seed[1])
            self._epoch_seed = epoch_seed
        samples = dataset.__getitems__(indices) if hasattr(dataset, "__getitems__") else [dataset[i] for i in indices]
        batch = samples.collate() if hasattr(samples, "collate") else None
        if batch is None:
            samples = list(samples)
            has_inputs = samples and all(isinstance(s, dict) and "inputs" in s for s in samples)
            shapes = {tuple(s["inputs"].shape) for s in samples} if has_inputs else ()
            if len(shapes) != 1:
                return None, samples
            batch = keypoint_collate(samples)
        return {key: value.numpy() if isinstance(value, torch.Tensor) else value for key, value in batch.items()}, None

    def pid(self) -> int:
        """Return the process id of the actor on its node."""
        return os.getpid()

    def node(self) -> str:
        """Return the Ray id of the actor's node."""
        return require_ray().get_runtime_context().get_node_id()

    def call(self, method: str, *args: Any) -> Any:
        """Call a method of the dataset that returns plain data: `get_data_info`, `get_cat_ids`, `column`."""
        return getattr(self.dataset, method)(*args)


class ActorPool:
    """Requests for batches to several actors; Ray restarts a dead actor, on another node if its own is lost.

    A batch is a pure function of indices, epoch and seed, so a request whose result is lost is submitted again.

    Args:
        dataset: Config or dataset, sent to the cluster once.
        num_actors: Number of actors, at least 1.
        num_cpus: CPUs that Ray reserves per actor.
        max_bytes: Maximum size in bytes of the batches that are in progress or not yet fetched.
    """

    def __init__(self, dataset: Any, num_actors: int, *, num_cpus: float, max_bytes: int) -> None:
        self._ray, self._num_cpus, self.max_bytes = require_ray(), num_cpus, max_bytes
        remote_class = self._ray.remote(num_cpus=num_cpus, max_restarts=-1, max_task_retries=0)(DatasetActor)
        self.actors = [remote_class.remote(dataset) for _ in range(num_actors)]
        self._pending: dict[Request, tuple[Any, int]] = {}  # Ray reference and actor number
        self._load: Counter[int] = Counter()  # pending requests per actor
        self._lost_at: dict[int, float] = {}
        self._batch_bytes = 0

    @property
    def num_pending(self) -> int:
        """Number of requests whose results are not fetched yet."""
        return len(self._pending)

    @property
    def has_capacity(self) -> bool:
        """True if one more request fits `max_bytes`; one per actor until the first result shows the size of a batch."""
        limit = self.max_bytes // self._batch_bytes if self._batch_bytes else len(self.actors)
        return len(self._pending) < max(1, limit)

    def submit(self, request: Request) -> None:
        """Send a request to the actor with the lowest load, unless it is pending already."""
        if request in self._pending:
            return
        number = min(range(len(self.actors)), key=lambda n: (self._is_lost(n), self._load[n], n))
        self._load[number] += 1
        self._pending[request] = (self.actors[number].batch.remote(*request), number)

    def result(self, request: Request) -> tuple[dict | None, Any]:
        """Wait for the result of a request, which is submitted again whenever its actor is lost.

        Raises:
            RemoteError: If there is no result within the time limit.
            Exception: Any error of the dataset.
        """
        lost: Exception | None = None
        start = time.monotonic()
        while time.monotonic() - start < _TIMEOUT_S:
            if lost is not None and all(map(self._is_lost, range(len(self.actors)))):
                time.sleep(_RETRY_S)
            self.submit(request)
            reference, number = self._pending[request]
            try:
                result = self._get(reference)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except self._ray.exceptions.RayError as error:
                lost = error
                self._lost_at[number] = time.monotonic()
                continue
            finally:
                self._remove(request)
            self._lost_at.pop(number, None)
            self._batch_bytes = max(self._batch_bytes, _nbytes(result[0]))
            return result
        reason = str(lost).splitlines()[0] if lost else ""
        raise RemoteError(f"no actor returned a batch within {_TIMEOUT_S:.0f} s ({reason}); see 'ray status'") from lost

    def call(self, method: str, *args: Any) -> Any:
        """Call a method of any actor.

        Raises:
            RemoteError: If there is no result within the time limit.
            Exception: Any error of the method, or of building the dataset.
        """
        errors = self._ray.exceptions
        start, number = time.monotonic(), -1
        while time.monotonic() - start < _TIMEOUT_S:
            number = (number + 1) % len(self.actors)
            try:
                return self._get(getattr(self.actors[number], method).remote(*args))
            except errors.RayTaskError as error:
                raise error.cause from None
            except errors.RayError:
                time.sleep(_RETRY_S)
        raise RemoteError(f"no actor responded within {_TIMEOUT_S:.0f} s; see 'ray status'")

    def clear(self) -> None:
        """Discard all pending requests."""
        for request in list(self._pending):
            self._remove(request)

    def close(self) -> None:
        """Stop the actors."""
        self._pending.clear()
        for actor in self.actors:
            self._ray.kill(actor)
        self.actors = []

    def _get(self, reference: Any) -> Any:
        return self._ray.get(wait_any([reference], num_cpus=self._num_cpus))

    def _is_lost(self, number: int) -> bool:
        return time.monotonic() - self._lost_at.get(number, -_AVOID_S) < _AVOID_S

    def _remove(self, request: Request) -> None:
        if request in self._pending:
            self._load[self._pending.pop(request)[1]] -= 1


def _nbytes(batch: dict | None) -> int:
    return sum(getattr(value, "nbytes", 0) for value in (batch or {}).values())


def check_seed(where: str, requested: int | None, own: int | None) -> int | None:
    """Return the requested seed, or the dataset's own if none is requested.

    Raises:
        ConfigError: If they differ, or the seed is not an integer from 0 to 2**63 - 1.

    Example:
        >>> check_seed("RayDataset", None, 3), check_seed("RayDataset", 5, None)
        (3, 5)
    """
    if requested is None:
        return own
    check_int(where, seed=requested)
    if own not in (None, requested):
        raise ConfigError(
            f"{where}: seed={requested} differs from seed={own} in the dataset's config; pass only one of them"
        )
    return requested
