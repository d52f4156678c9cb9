"""The calls that a `LazyDataset` records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from karsl.datasets.combine import ConcatDataset, InterleaveDataset, MapDataset, MixDataset
from karsl.datasets.combine.below import first_seed
from karsl.datasets.combine.one import OneMember
from karsl.datasets.combine.reading import Reader
from karsl.datasets.encoders.base import Encoder, build_encoders
from karsl.datasets.lazy.filtering import filtered
from karsl.datasets.lazy.plan import Recorded
from karsl.datasets.state import EpochState
from karsl.errors import ConfigError, type_name, with_context

Self = TypeVar("Self", bound="Recorder")


class Recorder(OneMember):
    """Datasets by name, what is done to each, and the mix once there is one; see `LazyDataset`."""

    _parts: dict[str, Any]
    _whole: Any
    _encoders: list[Encoder]
    _encodes: bool
    _plan: list[Recorded]

    def add_dataset(self: Self, dataset: Any, name: str | None = None) -> Self:
        """Add a dataset or config.

        Args:
            dataset: Nothing of it is copied.
            name: For later calls; default is `dataset0`, `dataset1` and so on.

        Raises:
            ConfigError: The name is taken, `mix` was called, or this is no dataset.
        """
        if self._whole is not None:
            raise ConfigError(
                f"{type_name(self)}: add_dataset after mix(); the mix is made, so add before it or mix two mixes"
            )
        name = name or f"dataset{len(self._parts)}"
        if name in self._parts:
            raise ConfigError(f"{type_name(self)}: there is a dataset {name!r} already; give another name")
        try:
            self._parts[name] = self._build(len(self._parts), dataset)
        except Exception as error:
            raise with_context(error, f"{type_name(self)}: add_dataset, {name!r}") from error
        return self._record("add_dataset", {"dataset": dataset, "name": name})

    def map(self: Self, transform: dict | Callable | Sequence[dict | Callable], dataset: str | None = None) -> Self:
        """Record a step.

        Args:
            transform: A transform's config, a callable, or a list of these.
            dataset: Name; None is all of them, and after `mix` the mix.

        Raises:
            ConfigError: No such dataset or transform.
        """
        for name, part in self._chosen(dataset, "map"):
            self._put(name, MapDataset(part, transform, lazy_init=True))
        return self._record("map", _given(transform=transform, dataset=dataset))

    def filter(self: Self, keep: Callable | str | Mapping, dataset: str | None = None, *, num_workers: int = 0) -> Self:
        """Keep items for which a condition holds, found out at once, after the steps recorded so far.

        After a weighted mix, whose places are other clips in each epoch, it works on the datasets in the mix.

        Args:
            keep: See FilterDataset.
            dataset: As for `map`.
            num_workers: Processes that look at items.

        Raises:
            ConfigError: Nothing is left, no such dataset or condition.
            TransformError: The condition or a step failed.
        """
        notes = []
        for name, part in self._chosen(dataset, "filter"):
            kept = filtered(part, keep, num_workers=num_workers)
            self._put(name, kept)
            notes.append(f"keeps {len(kept):,} of {len(part):,}")
        note = "; ".join(notes)
        return self._record("filter", _given(keep=keep, dataset=dataset, num_workers=num_workers or None), note)

    def mix(
        self: Self,
        interleave: bool = True,
        *,
        weights: Sequence[float] | Mapping[str, float] | None = None,
        stop: str | None = None,
        labels: str | Sequence[str] = "same",
        aliases: Mapping[str, str] | None = None,
    ) -> Self:
        """Make one of all datasets; nothing is copied.

        Args:
            interleave: Item i is item i // k of dataset i % k, shorter ones begin again, the length is k times the longest;
                False: one after the other.
            weights: Shares, in order or by name: then the order is random, see MixDataset.
            stop: `'first_exhausted'` or `'all_exhausted'`; default is that of InterleaveDataset or MixDataset.
            labels, aliases: How classes become one list, see ConcatDataset.

        Raises:
            ConfigError: Mixed already, nothing to mix, or the datasets do not fit.
        """
        if self._whole is not None or not self._parts:
            raise ConfigError(f"{type_name(self)}: mix() {'was called before' if self._parts else 'before add_dataset'}")
        parts = list(self._parts.values())
        options: dict[str, Any] = {"labels": labels, "aliases": aliases, "lazy_init": True}
        stopping: dict[str, Any] = {} if stop is None else {"stop": stop}
        if len(parts) == 1:
            self._whole = OneMember(parts[0], lazy_init=True)
        elif weights is not None:
            shares = [weights.get(n, 0) for n in self._parts] if isinstance(weights, Mapping) else weights
            self._whole = MixDataset(parts, shares, **stopping, **options)
        elif interleave:
            self._whole = InterleaveDataset(parts, **stopping, **options)
        else:
            self._whole = ConcatDataset(parts, **options)
        given = _given(weights=weights, stop=stop, labels=None if labels == "same" else labels, aliases=aliases)
        return self._record("mix", {"interleave": interleave, **given})

    def set_encoder(self: Self, encoder: Any) -> Self:
        """Name the encoder, or several; `encode` switches them on.

        Args:
            encoder: Config, name or object, or a list of these.

        Raises:
            ConfigError: No such encoder, or one that may give several items for one.
        """
        self._encoders = build_encoders(encoder)
        return self._record("set_encoder", {"encoder": encoder})

    def encode(self: Self) -> Self:
        """Encode every item, last of all; other keys of an item stay.

        Raises:
            ConfigError: There is no encoder.
        """
        if not self._encoders:
            raise ConfigError(
                f"{type_name(self)}: encode() without an encoder; call set_encoder(dict(type='FeatureEncoder')) first"
            )
        self._encodes = True
        return self._record("encode", {})

    def _chosen(self, dataset: str | None, action: str) -> list[tuple[str | None, Any]]:
        """Names and present forms of what a call is for; None is the mix."""
        if not self._parts:
            raise ConfigError(f"{type_name(self)}: {action}() before add_dataset")
        if self._whole is not None:
            if dataset is not None:
                raise ConfigError(
                    f"{type_name(self)}: {action}(dataset={dataset!r}) after mix(), where it is for all; call it before"
                )
            return [(None, self._whole)]
        if dataset is None:
            return list(self._parts.items())
        if dataset not in self._parts:
            raise ConfigError(f"{type_name(self)}: {action}: no dataset {dataset!r}; there are {', '.join(self._parts)}")
        return [(dataset, self._parts[dataset])]

    def _put(self, name: str | None, part: Any) -> None:
        if name is None:
            self._whole = part
        else:
            self._parts[name] = part

    def _record(self: Self, action: str, arguments: dict, note: str = "") -> Self:
        self._plan.append(Recorded(action, arguments, note))
        root = self._whole if self._whole is not None else next(iter(self._parts.values()))
        self.members, self._fully_initialized, self._reader = (root,), False, Reader(self)
        if self._epoch_state.seed is None:
            self._epoch_state = EpochState(first_seed([root]))
        self._share_seed()
        return self


def _given(**arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}
