"""Base class of keypoint transforms: parameters for N clips at once, then a pure function of one clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from inspect import signature
from typing import Any, Protocol

import numpy as np

from karsl.datasets.rng import CounterRNG, hash_name
from karsl.errors import ConfigError
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
        fps: float64 (N,), frames per second of each clip, NaN where its record has none; None if no record has any.
    """

    num_frames: np.ndarray
    skeleton: Skeleton
    centered: bool = False
    fps: np.ndarray | None = None

    @property
    def pivot(self) -> float:
        """x and y of the point to mirror and rotate about: the image center, or the origin."""
        return 0.0 if self.centered else 0.5


@dataclass(frozen=True)
class ClipBatch:
    """N clips as arrays, the input of `KeypointTransform.transform_batch`, which may edit the arrays.

    Attributes:
        keypoint: float32 (F, V, C), NaN where missing; the frames of all clips, one clip after the other.
        keypoint_score: float32 (F, V), 0 where missing.
        offsets: int64 (N + 1,), first frame of each clip, and F.
        skeleton: Skeleton of all clips.
        params: Arrays that `get_params` returned, one row per clip.
    """

    keypoint: np.ndarray
    keypoint_score: np.ndarray
    offsets: np.ndarray
    skeleton: Skeleton
    params: Params

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def clip_idx(self) -> np.ndarray:
        """int64 (F,), clip of each frame: `params["ratio"][clip_idx]` has one value per frame."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))


class DeferredOps(Protocol):
    """Operations that `KeypointTransform.defer` may record for N clips; `DeferredBatch` implements them.

    Affines are float64 (N, 1 or G, 7), one row per clip and group: m00 m01 m10 m11 dx dy, and the scale of z.

    Attributes:
        skeleton: Current skeleton.
        centered: See `ClipMeta`.
        fps: See `ClipMeta`.
    """

    skeleton: Skeleton
    centered: bool
    fps: np.ndarray | None

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
        positions: np.ndarray,
        *,
        lengths: np.ndarray | None = None,
        missing_is_zero: bool = False,
        padding: np.ndarray | None = None,
    ) -> None:
        """Read each clip at frame positions.

        Args:
            positions: float64 (N, L), or (F,) for clips of several lengths; fractions are interpolated.
            lengths: int64 (N,), lengths of the clips in (F,).
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

    def group_anchors(self, anchors: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the mean of points, the mean distance of two others, and bool found, for each of A pairs of their numbers.

        Returns:
            float64 (N, A, 2), float64 (N, A), and bool (N, A).
        """

    def group_means(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean x and y (N, G, 2) and the number (N, G) of the present points of each group."""

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

    def call(self, transform: KeypointTransform, params: Params) -> None:
        """Call `transform.transform_batch` on the points of all clips."""


class KeypointTransform:
    """Transform of a pipeline: maps `results` to a new `results` and leaves its input unchanged.

    A subclass draws its random parameters in `get_params` (for N clips at once) and transforms one clip in `apply`, or N
    clips in `transform_batch`; both return only the changed keys. Random numbers depend on (seed, epoch, sample,
    `transform_id`). A transform that is called directly, on results without `sample_key`, draws from NumPy's global
    generator.

    Attributes:
        rng_name: Name that the random numbers depend on, the class name by default. Set it in a class that is renamed to
            keep its random numbers.
        transform_id: Number that the random numbers depend on, from `rng_name`. `Pipeline` sets another one for the second
            transform of a name.
        uses_fps: True if `get_params` uses `meta.fps`, which batches read only then.
        modified_keys: Keys of `results` that the transform may change or add; None means any key. Not inherited.
    """

    rng_name: str
    transform_id: int
    uses_fps = False
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

    def apply(self, results: dict, params: Params) -> dict:
        """Transform one clip. Unless it is overridden, `transform_batch` is called with N = 1.

        Args:
            results: Must not be edited, nor its arrays.
            params: One row of the arrays that `get_params` returned.

        Returns:
            The changed keys with their new values.
        """
        if type(self).transform_batch is KeypointTransform.transform_batch:
            raise NotImplementedError(f"{type(self).__name__} defines neither apply nor transform_batch")
        keypoint, score = results["keypoint"].copy(), results["keypoint_score"].copy()
        rows = {name: np.asarray(value)[None] for name, value in params.items()}
        batch = ClipBatch(keypoint, score, np.array([0, len(keypoint)]), results["skeleton"], rows)
        return self.checked_batch(batch)

    def transform_batch(self, batch: ClipBatch) -> dict:
        """Transform N clips at once; see `supports_batching`.

        Args:
            batch: The clips. Its arrays may be edited and returned.

        Returns:
            `keypoint` and `keypoint_score`, as far as they change, with the same F and V.
        """
        raise NotImplementedError(f"{type(self).__name__} works on one clip at a time")

    def checked_batch(self, batch: ClipBatch) -> dict:
        """Call `transform_batch` and return its arrays as float32.

        Raises:
            ConfigError: If another key, or an array of another shape is returned.
        """
        frames, points, channels = batch.keypoint.shape
        shapes = {"keypoint": (frames, points, self.output_channels(channels)), "keypoint_score": (frames, points)}
        changed, name = self.transform_batch(batch), type(self).__name__
        if not isinstance(changed, dict) or not changed.keys() <= shapes.keys():
            found = sorted(changed) if isinstance(changed, dict) else type(changed).__name__
            raise ConfigError(f"{name}.transform_batch returned {found}; expected a dict of keypoint and keypoint_score")
        arrays = {key: np.ascontiguousarray(value, np.float32) for key, value in changed.items()}
        for key, array in arrays.items():
            if array.shape != shapes[key]:
                raise ConfigError(
                    f"{name}.transform_batch returned {key} of shape {array.shape}; expected {shapes[key]} "
                    "(another number of coordinates needs output_channels)"
                )
        return arrays

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

    def batched_form(self) -> str:
        """Return the method that makes a batch, `'defer'` or `'transform_batch'`; empty if each clip is made alone.

        It is the one that is defined further down, unless `apply` or `__call__` alone is overridden below it.
        """
        if "apply" in vars(self) and "defer" not in vars(self):
            return ""
        return _batched_form(type(self))  # type: ignore[arg-type]  # classes hash

    def supports_batching(self) -> bool:
        """Return True if `defer` or `transform_batch` is defined, see `batched_form`."""
        return bool(self.batched_form())

    def record(self, batch: DeferredOps, params: Params) -> None:
        """Record the transform for N clips by its batched form."""
        if self.batched_form() == "transform_batch":
            batch.call(self, params)
        else:
            self.defer(batch, params)

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
    fps = None if results.get("fps") is None else np.array([results["fps"]], np.float64)
    return ClipMeta(np.array([frames]), skeleton, results.get("centered", False), fps)


def identity_affine(n: int, groups: int) -> np.ndarray:
    """Return float64 (N, G, 7) affines that change nothing."""
    affine = np.zeros((n, groups, 7))
    affine[..., 0] = affine[..., 3] = affine[..., 6] = 1  # ten times as fast as indexing with a list
    return affine


@cache
def _batched_form(cls: type[KeypointTransform]) -> str:
    depth = {name: i for i, base in reversed(list(enumerate(cls.__mro__))) for name in vars(base)}
    forms = [name for name in ("defer", "transform_batch") if cls.__mro__[depth[name]] is not KeypointTransform]
    form = min(forms, key=depth.__getitem__, default="")
    return form if form and depth[form] <= min(depth["apply"], depth["__call__"]) else ""
