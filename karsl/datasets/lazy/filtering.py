"""Filters over what is recorded, a weighted mix included."""

from __future__ import annotations

from typing import Any

from karsl.datasets.combine import FilterDataset, MapDataset, MixDataset, SliceDataset
from karsl.datasets.combine.combinator import Combinator
from karsl.errors import KarslError, type_name, with_context


def filtered(dataset: Any, keep: Any, *, num_workers: int = 0) -> Any:
    """A dataset without the items that a condition refuses.

    Args:
        dataset: A weighted mix, maybe with steps above it, is filtered member by member and mixed anew.
        keep: See FilterDataset.
        num_workers: Processes that look at items.
    """
    mix: Any = dataset
    steps: list[Any] = []
    while isinstance(mix, MapDataset):
        mix, steps = mix.dataset, [*mix.steps, *steps]
    if not isinstance(dataset, Combinator) or not isinstance(mix, MixDataset):
        return FilterDataset(dataset, keep, num_workers=num_workers)
    dataset.full_init()
    members = []
    for number, member in enumerate(mix.members):
        seen = MapDataset(member, steps) if steps else member
        try:
            places = FilterDataset(seen, keep, num_workers=num_workers).places
        except KarslError as error:
            raise with_context(error, f"{type_name(mix)}: {mix.member_name(number)} ({type_name(member)})") from error
        members.append(SliceDataset(member, places))
    mixed = MixDataset(members, mix.weights, stop=mix.stop)
    return MapDataset(mixed, steps) if steps else mixed
