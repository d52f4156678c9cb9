"""Division of a pipeline into the transforms that a batch can defer and those that need one clip at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from karsl.datasets.batching.deferred import DeferredBatch
from karsl.datasets.batching.frames import FrameBlock
from karsl.datasets.rng import CounterRNG, fold_in
from karsl.datasets.transforms.base import KeypointTransform
from karsl.datasets.transforms.formatting import PackKeypointInputs
from karsl.datasets.transforms.loading import LoadKeypoints
from karsl.datasets.transforms.normalize import FillMissing
from karsl.skeletons import Skeleton

_GOLDEN, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_BY_30, _BY_27, _BY_31, _TO_53_BITS = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_compiled = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)


@dataclass(frozen=True)
class BatchPipeline:
    """A pipeline as loading, deferred transforms, and the others.

    Attributes:
        load: Reads clips.
        deferred: Transforms that are applied in one pass.
        pack: The last transform, if all others are deferred.
        rest: Transforms from the first that cannot be deferred; they are applied to one clip at a time.
    """

    load: LoadKeypoints
    deferred: tuple[KeypointTransform, ...]
    pack: PackKeypointInputs | None
    rest: tuple[Callable, ...]

    @classmethod
    def from_transforms(cls, transforms: Sequence[Callable]) -> BatchPipeline | None:
        """Divide the transforms; None if they do not begin with LoadKeypoints itself."""
        if not transforms or type(transforms[0]) is not LoadKeypoints or not _is_unmodified(transforms[0]):
            return None
        deferred: list[KeypointTransform] = []
        for transform in transforms[1:]:
            filled = bool(deferred) and isinstance(deferred[-1], FillMissing)
            if filled or not isinstance(transform, KeypointTransform) or not transform.supports_batching():
                break
            deferred.append(transform)
        rest = tuple(transforms[1 + len(deferred) :])
        pack = rest[0] if len(rest) == 1 and type(rest[0]) is PackKeypointInputs and _is_unmodified(rest[0]) else None
        return cls(transforms[0], tuple(deferred), pack, rest if pack is None else ())

    def defer(self, source: FrameBlock, skeleton: Skeleton, rng_keys: np.ndarray) -> DeferredBatch:
        """Record every deferred transform.

        Args:
            source: Frames of N clips.
            skeleton: Skeleton of the frames.
            rng_keys: uint64 (N,), random keys of the samples.
        """
        batch = DeferredBatch(source, skeleton)
        for transform in self.deferred:
            transform.defer(
                batch, transform.get_params(batch.meta, CompiledRNG(rng_keys, transform_id=transform.transform_id))
            )
        return batch

    def same_as(self, other: BatchPipeline) -> bool:
        """Return True if `other` does the same to loaded clips, so that clips of both can be written in one pass."""
        if self is other:
            return True
        mine, theirs = (p.deferred + (() if p.pack is None else (p.pack,)) + p.rest for p in (self, other))
        return len(mine) == len(theirs) and all(_same(a, b) for a, b in zip(mine, theirs, strict=True))


def _same(one: Callable, other: Callable) -> bool:
    return one is other or (isinstance(one, KeypointTransform) and one.same_as(other))


def _is_unmodified(transform: Callable) -> bool:
    """Return True if no method of the transform is replaced on the instance."""
    return vars(transform).keys() & vars(type(transform)).keys() <= {"transform_id"}


# ---- random numbers: those of `karsl.datasets.rng`, bit for bit, without an array per operation ----


@njit(inline="always")
def _mix(value):
    value = value + _GOLDEN
    value = (value ^ (value >> _BY_30)) * _FIRST
    value = (value ^ (value >> _BY_27)) * _SECOND
    return value ^ (value >> _BY_31)


@_compiled
def _bits(keys, code, out):
    for n in range(keys.size):
        key = _mix(keys[n] ^ code)
        for k in range(out.shape[1]):
            out[n, k] = _mix(key + np.uint64(k) * _GOLDEN)


@_compiled
def _uniform(keys, code, low, high, out):
    for n in range(keys.size):
        key = _mix(keys[n] ^ code)
        for k in range(out.shape[1]):
            unit = np.float64(_mix(key + np.uint64(k) * _GOLDEN) >> _TO_53_BITS) * 2.0**-53
            out[n, k] = low + (high - low) * unit


class CompiledRNG(CounterRNG):
    """Compiled counter-based random numbers for batches."""

    def bits(self, name: str, *shape: int) -> np.ndarray:
        """Return uint64 (N, *shape)."""
        out = np.empty((len(self), math.prod(shape)), np.uint64)
        _bits(self.keys, fold_in(self.transform_id, name), out)
        return out.reshape(len(self), *shape)

    def uniform(self, name: str, *shape: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """Return float64 (N, *shape) in [low, high)."""
        out = np.empty((len(self), math.prod(shape)))
        _uniform(self.keys, fold_in(self.transform_id, name), float(low), float(high), out)
        return out.reshape(len(self), *shape)
