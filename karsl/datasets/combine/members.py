"""A dataset that holds datasets: they are built, named, initialised once, and told of seeds and epochs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset, force_full_init

from karsl.datasets.combine.agreement import common_metainfo
from karsl.datasets.combine.below import all_below, first_seed, redrawn, set_epoch_below
from karsl.datasets.combine.tree import draw_tree
from karsl.datasets.state import EpochState
from karsl.errors import ConfigError, type_name, with_context
from karsl.registry import DATASETS


class Members(BaseDataset):
    """Datasets within a dataset; how clips are read through it is said by `Combinator`.

    Args:
        members, lazy_init, seed: See Combinator.

    Raises:
        ConfigError: No member, or one is neither a dataset nor a config.
    """

    redraws = False  # whether a place is another clip in another epoch
    single = False  # whether there is one member by nature
    takes_empty = False  # whether a member may be empty that was asked to be
    _fully_initialized: bool = False
    _members_key = "datasets"

    def __init__(self, members: Iterable[Any], *, lazy_init: bool = False, seed: int | None = None) -> None:
        self.members: tuple[Any, ...] = tuple(self._build(number, member) for number, member in enumerate(members))
        if not self.members:
            raise ConfigError(f"{type_name(self)}: {self._members_key} is empty; give at least one dataset or config")
        self._epoch_state = EpochState(first_seed(self.members) if seed is None else seed)
        self._share_seed()
        if not lazy_init:
            self.full_init()

    # ---- what a subclass says ----

    def _count(self, lengths: np.ndarray) -> int:
        """How many places there are, given the members' lengths; called once."""
        raise NotImplementedError

    def _describe(self) -> str:
        """Arguments for `repr`, without members."""
        return ""

    def _combined_metainfo(self) -> dict:
        return common_metainfo(self)

    # ---- members ----

    def _need_fixed_places(self, or_else: str = "") -> None:
        """For what remembers places of its member.

        Args:
            or_else: What else to do.

        Raises:
            ConfigError: In another epoch they would be other clips.
        """
        found = redrawn(self.members)
        if found:
            raise ConfigError(
                f"{type_name(self)}: the {found} below puts other clips in the same places in each epoch, so places cannot be "
                f"remembered; put the {type_name(self)} below the {found}, around its members{or_else}"
            )

    def _build(self, number: int, member: Any) -> Any:
        if not isinstance(member, Mapping):
            if hasattr(member, "__getitem__") and hasattr(member, "__len__") and not isinstance(member, (Sequence, str)):
                return member
            raise ConfigError(
                f"{type_name(self)}: {self.member_name(number)} is a {type_name(member)}; expected a dataset or its config"
            )
        try:
            return DATASETS.build(dict(member))
        except Exception as error:
            raise with_context(error, f"{type_name(self)}: {self.member_name(number)} ({type_name(member)})") from error

    def member_name(self, number: int) -> str:
        """How messages call a member, as its place in a config."""
        return f"{self._members_key}[{number}]"

    def full_init(self) -> None:
        """Initialise the members, then this; once, however often it is called.

        Raises:
            ConfigError: A member is empty or broken, named by position and kind, or members do not fit together.
        """
        if self._fully_initialized:
            return
        lengths = []
        for number, member in enumerate(self.members):
            where = f"{type_name(self)}: {self.member_name(number)} ({type_name(member)})"
            try:
                if hasattr(member, "full_init"):
                    member.full_init()
                lengths.append(len(member))
            except Exception as error:
                raise with_context(error, where) from error
            if not lengths[-1] and not (self.takes_empty and getattr(member, "meant_empty", False)):
                raise ConfigError(f"{where} holds no clips; leave it out or look at its filters")
        self._lengths = np.array(lengths, dtype=np.int64)
        self._prepare()
        self._length = self._count(self._lengths)
        self._metainfo = self._combined_metainfo()
        self._check()
        self._fully_initialized = True

    def _prepare(self) -> None:
        """What a subclass works out of its initialised members."""

    def _check(self) -> None:
        """Whether what was worked out is usable, before it is used."""

    @property
    def metainfo(self) -> dict:
        """A copy of what the members agree on; of a lazy one, what they know so far."""
        return dict(self._metainfo) if self._fully_initialized else self._combined_metainfo()

    @force_full_init
    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return draw_tree(self)

    # ---- epochs ----

    def _share_seed(self) -> None:
        """Give the seed to what lies below and has none, so that the order of a mix is that of the tree's seed."""
        seed = self._epoch_state.seed
        for part in all_below(self.members) if seed is not None else ():
            if isinstance(part, Members) and part._epoch_state.seed is None:
                part._epoch_state.set_epoch(part._epoch_state.epoch, seed=seed)

    def set_epoch(self, epoch: int, seed: int | None = None) -> None:
        """Say which epoch is drawn, here and in everything below; reaches workers that run already."""
        self._epoch_state.set_epoch(epoch, seed=seed)
        set_epoch_below(self.members, epoch, seed)
