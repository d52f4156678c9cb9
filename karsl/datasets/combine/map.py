"""Further steps for the clips of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from karsl.datasets.combine.one import OneMember
from karsl.datasets.pipeline import Pipeline, step_name
from karsl.errors import ConfigError, type_name
from karsl.registry import DATASETS


@DATASETS.register_module()
class MapDataset(OneMember):
    """A dataset whose samples go through further steps.

    The steps go on where the pipeline below ends, as if they stood in it: the same draws, and, if they can be deferred,
    the same single pass for a batch.

    Args:
        dataset: Dataset or config.
        transform: A transform's config, a callable, or a list of these.
        lazy_init, seed: See Combinator.

    Raises:
        ConfigError: A transform cannot be built.
    """

    def __init__(
        self,
        dataset: Any,
        transform: dict | Callable | Sequence[dict | Callable],
        *,
        lazy_init: bool = False,
        seed: int | None = None,
    ) -> None:
        chain = transform if isinstance(transform, Sequence) else [transform]
        self.steps = tuple(Pipeline(chain).transforms)
        if not self.steps:
            raise ConfigError(f"{type_name(self)}: transform={transform!r}; expected at least one step")
        super().__init__(dataset, lazy_init=lazy_init, seed=seed)

    def _describe(self) -> str:
        return ", ".join(map(step_name, self.steps))
