"""Base class of keypoint transforms: parameters for N clips at once, then a pure function of one clip."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from inspect import signature
from typing import Any, Protocol

import numpy as np

from karsl.datasets.rng import CounterRNG, hash_name
from karsl.skeletons import Skeleton, describe_skeleton

Params = dict[str, np.ndarray]


@dataclass(frozen=True)
class ClipMeta:
    """Properties of N clips that a transform may use to choose its parameters.

    Attributes:
        num_frames: int64 (N,), current lengths.
        skeleton: Skeleton of all N clips.
        centered: True if coordinates are relative to an origin on the body (after CenterScale), False if they are image
            coordinates in [0, 1].
    """

    num_frames: np.ndarray
    skeleton: Skeleton
    centered: bool = False

    @property
    def pivot(self) -> float:
        """x and y of the point to mirror and rotate about: the image center, or the origin."""
        return 0.0 if self.centered else 0.5


class DeferredOps(Protocol):
    """Operations that `KeypointTransform.defer` may record for N clips; `DeferredBatch` implements them.

    Affines are float64 (N, 1 or G, 7), one row per clip and group: m00 m01 m10 m11 dx dy, and the scale of z.

    Attributes:
        skeleton: Current skeleton.
        centered: See `ClipMeta`.
    """

    skeleton: Skeleton
    centered: bool

    def __len__(self) -> int:
        """Return N."""

    @property
    def num_frames(self) -> np.ndarray:
        """int64 (N,), current lengths."""

    @property
    def meta(self) -> ClipMeta:
        """Current properties of the clips."""

    def resample(
        self,
        positions: Sequence[np.ndarray] | np.ndarray,
        *,
        missing_is_zero: bool = False,
        padding: np.ndarray | None = None,
    ) -> None:
        """Read each clip at frame positions.

        Args:
            positions: float64 (N, L), or N arrays of any lengths; fractions are interpolated.
            missing_is_zero: Interpolate missing points as zeros.
            padding: bool (N, L), positions that are only padding.
        """

    def mirror(self, flip: np.ndarray) -> None:
        """Mirror the clips where bool (N,) `flip`, about the center of the image or the origin."""

    def affine(self, affine: np.ndarray) -> None:
        """Apply an affine to the points of each group."""

    def mask(self, points: np.ndarray) -> None:
        """Hide points, bool (N, V)."""

    def mask_frames(self, frames: Sequence[np.ndarray]) -> None:
        """Hide all points of some frames, N bool arrays of the current lengths."""

    def select(self, skeleton: Skeleton, mapping: np.ndarray) -> None:
        """Change the skeleton; int64 (V',) `mapping` holds the current index of each new point, -1 for none."""

    def group_anchors(self, origin: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the mean (N, 2) of `origin` points, the mean distance (N,) of two `scale` points, and bool (N,) found."""

    def group_scale(self, part: slice, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return mean (N, 2), radius (N,) and number of present points (N,) of a range of points, for clips `wanted`."""

    def add_noise(self, keys: np.ndarray, sigma: float) -> None:
        """Add Gaussian noise that is a function of uint64 (N,) keys."""

    def fill(self, mode: str, value: float) -> None:
        """Give coordinates to missing points, see `FillMissing`."""

    def smooth(self, radius: int) -> None:
        """Replace present points by their mean over the frames at most `radius` away."""

    def streams(self, names: Sequence[str], parents: np.ndarray) -> None:
        """Replace points by streams, see `SkeletonFeatures`; int64 (V,) parent of each point."""


class KeypointTransform(ABC):
    """Transform of a pipeline: maps `results` to a new `results` and leaves its input unchanged.

    A subclass draws its random parameters in `get_params` (for N clips at once) and transforms one clip in `apply`, which
    returns only the changed keys. Random numbers depend on (seed, epoch, sample, `transform_id`). A transform that is
    called directly, on results without `sample_key`, draws from NumPy's global generator.

    Attributes:
        rng_name: Name that the random numbers depend on, the class name by default. Set it in a class that is renamed to
            keep its random numbers.
        transform_id: Number that the random numbers depend on, from `rng_name`. `Pipeline` sets another one for the second
            transform of a name.
        modified_keys: Keys of `results` that the transform may change or add; None means any key. Not inherited.
    """

    rng_name: str
    transform_id: int
    modified_keys: tuple[str, ...] | None = None

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls.rng_name = vars(cls).get("rng_name", cls.__name__)
        cls.transform_id = hash_name(cls.rng_name)
        cls.modified_keys = vars(cls).get("modified_keys")

    def get_params(self, meta: ClipMeta, rng: CounterRNG) -> Params:
        """Draw the parameters of N clips.

        Returns:
            Arrays with N as first axis; empty here.
        """
        return {}

    @abstractmethod
    def apply(self, results: dict, params: Params) -> dict:
        """Transform one clip.

        Args:
            results: Must not be edited, nor its arrays.
            params: One row of the arrays that `get_params` returned.

        Returns:
            The changed keys with their new values.
        """

    def defer(self, batch: DeferredOps, params: Params) -> None:
        """Record for N clips at once what `apply` does to each; see `supports_batching`.

        Args:
            batch: Records the operations.
            params: Arrays that `get_params` returned.
        """
        raise NotImplementedError(f"{type(self).__name__} works on one clip at a time")

    def output_skeleton(self, skeleton: Skeleton) -> Skeleton:
        """Return the skeleton of the results after this transform, given the one before."""
        return skeleton

    def output_channels(self, channels: int) -> int:
        """Return C after this transform, given C before."""
        return channels

    def supports_batching(self) -> bool:
        """Return True if `defer` is defined and neither `apply` nor `__call__` alone is overridden further down."""
        return _defer_matches_apply(type(self)) and ("apply" not in vars(self) or "defer" in vars(self))

    def same_as(self, other: object) -> bool:
        """Return True if `other` does the same with the same random numbers: equal type, attributes and `transform_id`."""
        if self is other:
            return True
        if type(self) is not type(other) or self.transform_id != other.transform_id:
            return False
        try:
            return bool(vars(self) == vars(other))
        except (ValueError, RuntimeError):  # arrays or tensors among the attributes
            return False

    def __call__(self, results: dict) -> dict | None:
        """Draw the parameters of one clip and apply them."""
        key = results.get("sample_key")
        keys = np.random.randint(0, 2**63, size=1, dtype=np.int64).astype(np.uint64) if key is None else [key]
        params = self.get_params(clip_meta(results), CounterRNG(np.asarray(keys), transform_id=self.transform_id))
        return {**results, **self.apply(results, {name: values[0] for name, values in params.items()})}

    def __repr__(self) -> str:
        values = {name: vars(self)[name] for name in signature(type(self)).parameters if name in vars(self)}
        plain = {key: describe_skeleton(value) if isinstance(value, Skeleton) else value for key, value in values.items()}
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in plain.items())})"


def clip_meta(results: dict) -> ClipMeta:
    """Return the properties of one clip, N = 1."""
    frames = results["keypoint"].shape[0] if "keypoint" in results else results.get("num_frames", 0)
    skeleton: Any = results.get("skeleton")  # absent where no transform needs it
    return ClipMeta(np.array([frames]), skeleton, results.get("centered", False))


def identity_affine(n: int, groups: int) -> np.ndarray:
    """Return float64 (N, G, 7) affines that change nothing."""
    affine = np.zeros((n, groups, 7))
    affine[..., 0] = affine[..., 3] = affine[..., 6] = 1  # ten times as fast as indexing with a list
    return affine


@cache
def _defer_matches_apply(cls: type[KeypointTransform]) -> bool:
    depth = {name: i for i, base in reversed(list(enumerate(cls.__mro__))) for name in vars(base)}
    defined = cls.__mro__[depth["defer"]] is not KeypointTransform
    return defined and depth["defer"] <= min(depth["apply"], depth["__call__"])
