"""A dataset of karsl's as a Ray Data dataset."""

from __future__ import annotations

from typing import Any

import numpy as np

from karsl.checks import check_int
from karsl.errors import ConfigError, missing_extra
from karsl.remote.actor import DatasetActor, Draws, agreed_seed
from karsl.remote.session import connect


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
    """The clips of a dataset as rows of Ray Data, made batch by batch in actors, in order.

    As a loader this is slower than RemoteDataset; it is for what Ray Data does next: shuffles, joins, writing, training
    with Ray's own trainers.

    Args:
        dataset: Config of a dataset whose batches are whole: its pipeline ends with PackKeypointInputs.
        address: Of a Ray cluster; see `karsl.remote.connect`.
        batch_size: Clips that an actor makes at once.
        num_actors: Processes that make them.
        num_cpus: Of each.
        epoch: Of the draws.
        seed: Of the draws; None takes the dataset's, or 0.

    Returns:
        `ray.data.Dataset` with a column for each entry of a batch.

    Raises:
        MissingExtraError: Ray or pandas is not installed.
        ConfigError: The dataset has another seed.
    """
    check_int("to_ray_dataset", epoch=epoch)
    ray = connect(address)
    try:
        import pandas  # noqa: F401 - Ray Data needs it
        import ray.data as ray_data
    except ImportError as error:
        raise missing_extra("ray", str(getattr(error, "name", None) or "ray.data")) from None
    ray_data.DataContext.get_current().execution_options.preserve_order = True
    kind = ray.remote(num_cpus=0)(DatasetActor)
    asked = kind.remote(dataset)
    try:
        facts = ray.get(asked.facts.remote())
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    finally:
        ray.kill(asked)
    length, seed = facts["length"], agreed_seed("to_ray_dataset", seed, facts["seed"]) or 0
    lists = np.array_split(np.arange(length), -(-length // batch_size))  # each a block that is here: no task reads it
    return ray_data.from_numpy(lists).map_batches(
        _Rows,
        fn_constructor_args=(dataset, (epoch, seed)),
        batch_size=batch_size,
        num_cpus=num_cpus,
        concurrency=num_actors,
        batch_format="numpy",
    )


class _Rows:
    """Turns places into clips."""

    def __init__(self, dataset: Any, draws: Draws) -> None:
        self._actor, self._epoch_state = DatasetActor(dataset), draws

    def __call__(self, rows: dict[str, np.ndarray]) -> dict[str, Any]:
        batch, _ = self._actor.batch(rows["data"].tolist(), self._epoch_state)
        if batch is None:
            raise ConfigError("to_ray_dataset: clips differ in shape; end the pipeline with PackKeypointInputs")
        return batch
