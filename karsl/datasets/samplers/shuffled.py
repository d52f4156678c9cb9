"""The usual sampler, resumable."""

from __future__ import annotations

from collections.abc import Sized

from karsl.datasets.partition import EpochOrder
from karsl.datasets.samplers.base import OrderSampler
from karsl.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ResumableSampler(OrderSampler):
    """Every clip once an epoch, in random order, from wherever a run stopped.

    Args:
        dataset, seed, mode: See `OrderSampler`.
        shuffle: False gives the clips as they lie.

    Example:
        >>> sampler = ResumableSampler(range(6), seed=0)
        >>> whole = list(sampler)
        >>> sampler.advance(2)  # a batch of two was trained on
        >>> again = ResumableSampler(range(6))
        >>> again.load_state_dict(sampler.state_dict())
        >>> list(again) == whole[2:]
        True
    """

    def __init__(self, dataset: Sized, *, seed: int | None = None, shuffle: bool = True, mode: str = "pad") -> None:
        super().__init__(dataset, seed=seed, mode=mode)
        self.shuffle = shuffle

    def options(self) -> tuple:
        return (self.shuffle,)

    def order(self, seed: int, epoch: int) -> EpochOrder:
        return EpochOrder(self.total, seed=seed, epoch=epoch, shuffle=self.shuffle)
