"""What every keypoint transform is: numbers drawn for many clips at once, then a pure function of one clip."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from karsl.datasets.rng import CounterRNG, hash_name
from karsl.skeletons import Skeleton

if TYPE_CHECKING:
    from karsl.datasets.fused.pending import PendingClips

Params = dict[str, np.ndarray]


@dataclass(frozen=True)
class ClipMeta:
    """What a transform may know of N clips before it draws.

    Attributes:
        num_frames: int64 (N,), current lengths.
        skeleton: Of all N.
        centred: Whether coordinates are about an origin of the body (after CenterScale) or of the image, [0, 1].
    """

    num_frames: np.ndarray
    skeleton: Skeleton
    centred: bool = False

    @property
    def pivot(self) -> float:
        """x and y of the point to mirror and rotate about: the image's centre, or the origin."""
        return 0.0 if self.centred else 0.5


class KeypointTransform(ABC):
    """A step of a pipeline: `results` in, a new `results` out; the input is left as it was.

    A subclass says what it draws in `sample_params` (batch first: N clips at once) and what it does to one clip in
    `apply`, which returns the changed keys alone. Draws depend on (seed, epoch, sample, this transform's `stream`).
    A step called by hand, on results without `sample_key`, draws from numpy's global generator.
    """

    transform_id: int
    rng_name: str

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls.rng_name = cls.__name__
        cls.transform_id = hash_name(cls.rng_name)

    def sample_params(self, meta: ClipMeta, draw: CounterRNG) -> Params:
        """Draw for N clips.

        Returns:
            Arrays with N as first axis. None are drawn here.
        """
        return {}

    @abstractmethod
    def apply(self, results: dict, params: Params) -> dict:
        """Transform one clip.

        Args:
            results: Not to be edited, nor its arrays.
            params: One row of what `sample_params` gave.

        Returns:
            The keys that change, with their new values.
        """

    def defer(self, clips: PendingClips, params: Params) -> None:
        """Note what `apply` does, for N clips at once, instead of doing it; see `can_defer`.

        Args:
            clips: Takes frame positions, mirrorings, affines, hidden points.
            params: What `sample_params` gave.
        """
        raise NotImplementedError(f"{type(self).__name__} works on one clip at a time")

    def output_skeleton(self, skeleton: Skeleton) -> Skeleton:
        """The skeleton of the results after this step, given the one before; a model is built for the last one."""
        return skeleton

    def output_channels(self, channels: int) -> int:
        """C after this step, given C before."""
        return channels

    def can_defer(self) -> bool:
        """Whether `defer` stands for `apply`: it is written, and nobody changed `apply` or `__call__` alone."""
        return _defer_stands_for_apply(type(self)) and ("apply" not in vars(self) or "defer" in vars(self))

    def __call__(self, results: dict) -> dict | None:
        """Draw for one clip and apply."""
        key = results.get("sample_key")
        keys = np.random.randint(0, 2**63, size=1, dtype=np.int64).astype(np.uint64) if key is None else [key]
        batch = self.sample_params(clip_meta(results), CounterRNG(np.asarray(keys), transform_id=self.transform_id))
        return {**results, **self.apply(results, {name: values[0] for name, values in batch.items()})}

    def __repr__(self) -> str:
        shown = {k: v for k, v in vars(self).items() if not k.startswith("_") and k != "transform_id"}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


def clip_meta(results: dict) -> ClipMeta:
    """The meta of one clip, N = 1."""
    frames = results["keypoint"].shape[0] if "keypoint" in results else results.get("num_frames", 0)
    skeleton: Skeleton = results.get("skeleton")  # type: ignore[assignment]  # absent where no step needs it
    return ClipMeta(np.array([frames]), skeleton, results.get("centred", False))


@cache
def _defer_stands_for_apply(cls: type[KeypointTransform]) -> bool:
    rank = {name: place for place, base in reversed(list(enumerate(cls.__mro__))) for name in vars(base)}
    written = cls.__mro__[rank["defer"]] is not KeypointTransform
    return written and rank["defer"] <= min(rank["apply"], rank["__call__"])
