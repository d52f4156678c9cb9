"""A karsl dataset as a Ray Data dataset."""

from __future__ import annotations

from typing import Any

import numpy as np

from karsl.checks import check_int
from karsl.errors import ConfigError, missing_extra
from karsl.ray.actors import DatasetActor, EpochSeed, check_seed
from karsl.ray.session import connect


def to_ray_dataset(
    dataset: Any,
    *,
    address: str | None = None,
    batch_size: int = 64,
    num_actors: int = 2,
    num_cpus: float = 1.0,
    epoch: int = 0,
    seed: int | None = None,
) -> Any:
    """Return the clips of a dataset as rows of Ray Data, made batch by batch in actors, in order.

    This is slower than RayDataset as a loader; use it for what Ray Data does next: shuffles, joins, writing, or training
    with Ray Train.

    Args:
        dataset: Config of a dataset whose pipeline ends with PackKeypointInputs.
        address: Address of a Ray cluster; see `karsl.ray.connect`.
        batch_size: Number of clips that an actor makes at a time.
        num_actors: Number of processes that make batches.
        num_cpus: CPUs that Ray reserves per actor.
        epoch: Epoch of the random numbers.
        seed: Random seed. None uses the dataset's, or 0.

    Returns:
        `ray.data.Dataset` with one column per entry of a batch.

    Raises:
        MissingExtraError: If Ray or pandas is not installed.
        ConfigError: If the dataset has a different seed.
    """
    check_int("to_ray_dataset", epoch=epoch)
    ray = connect(address)
    try:
        import pandas  # noqa: F401 - required by Ray Data
        import ray.data as ray_data
    except ImportError as error:
        raise missing_extra("ray", str(getattr(error, "name", None) or "ray.data")) from None
    ray_data.DataContext.get_current().execution_options.preserve_order = True
    actor = ray.remote(num_cpus=0)(DatasetActor).remote(dataset)
    try:
        metadata = ray.get(actor.metadata.remote())
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    finally:
        ray.kill(actor)
    length, seed = metadata["length"], check_seed("to_ray_dataset", seed, metadata["seed"]) or 0
    blocks = np.array_split(np.arange(length), -(-length // batch_size))  # local data, so that no task reads them
    return ray_data.from_numpy(blocks).map_batches(
        _MakeBatch,
        fn_constructor_args=(dataset, (epoch, seed)),
        batch_size=batch_size,
        num_cpus=num_cpus,
        concurrency=num_actors,
        batch_format="numpy",
    )


class _MakeBatch:
    """Maps indices to clips."""

    def __init__(self, dataset: Any, epoch_seed: EpochSeed) -> None:
        self._actor, self._epoch_seed = DatasetActor(dataset), epoch_seed

    def __call__(self, rows: dict[str, np.ndarray]) -> dict[str, Any]:
        batch, _ = self._actor.batch(rows["data"].tolist(), self._epoch_seed)
        if batch is None:
            raise ConfigError("to_ray_dataset: clips differ in shape; end the pipeline with PackKeypointInputs")
        return batch
