"""Extractors of keypoints from pictures: their protocol and the registry `EXTRACTORS`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from xxhash import xxh3_64_hexdigest

from karsl.errors import ConfigError, SkeletonError, did_you_mean
from karsl.skeletons import Skeleton


class Extractor(Protocol):
    """Detector of the keypoints of one person.

    An extractor is pickled to worker processes before its first call, so it loads its networks in that call. Each frame is
    processed without knowledge of the others: the result depends neither on their order nor on the number of processes.

    Attributes:
        names: Names of the V keypoints that it returns.
        recipe: Everything that the result depends on, as JSON: name, version, networks by checksum, options. Clips with the
            same recipe may be mixed.
        batch_size: Number of frames to pass at a time; a constant, since results may depend on it in the last digits.
    """

    names: tuple[str, ...]
    recipe: dict[str, Any]
    batch_size: int

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Find the keypoints in frames.

        Args:
            images: uint8 (N, height, width, 3), RGB, not mirrored.

        Returns:
            float32 (N, V, 4): x and y in [0, 1] of the picture, z, and score. A missing keypoint is NaN with score 0.
        """
        ...


EXTRACTORS: dict[str, Callable[..., Extractor]] = {}
"""Factories of extractors by name."""


def register_extractor(name: str) -> Callable[[Callable[..., Extractor]], Callable[..., Extractor]]:
    """Register the decorated class or function as an extractor.

    It is called as `factory(models=, device=, wanted=, **options)`: path of its networks or None, device of torch, and names
    of the keypoints that are used. Modules outside karsl are imported with `--import`.

    Raises:
        ConfigError: If the name is already registered.
    """
    if name in EXTRACTORS:
        raise ConfigError(f"extractor {name!r} is already registered; choose another name")

    def register(factory: Callable[..., Extractor]) -> Callable[..., Extractor]:
        EXTRACTORS[name] = factory
        return factory

    return register


def make_extractor(
    name: str,
    *,
    models: str | Path | None = None,
    device: str = "cpu",
    wanted: Sequence[str] = (),
    **options: Any,
) -> Extractor:
    """Make an extractor.

    Args:
        name: Key of `EXTRACTORS`.
        models: File or folder with its networks. None is that of `fetch_networks`, if it uses these.
        device: Device of torch.
        wanted: Names of the keypoints that are used; it may leave the others out. Empty means all.
        options: Options of the extractor.

    Raises:
        ConfigError: If there is no such extractor, it has no such option, or its networks are absent.
        MissingExtraError: If it needs a library that is not installed.
    """
    if name not in EXTRACTORS:
        hint = did_you_mean(name, EXTRACTORS, f"extractors are {', '.join(EXTRACTORS)}")
        raise ConfigError(f"no extractor {name!r}{hint}")
    return EXTRACTORS[name](models=models, device=device, wanted=tuple(wanted), **options)


def keypoint_mapping(extractor: Extractor, skeleton: Skeleton) -> np.ndarray:
    """Return the index in the result of an extractor of each keypoint of a skeleton, int64 (V,), -1 for an absent one.

    Raises:
        SkeletonError: If they share no keypoint.
    """
    mapping = skeleton.mapping_from(Skeleton("extractor", (("all", extractor.names),)))
    if (mapping < 0).all():
        raise SkeletonError(
            f"extractor {extractor.recipe.get('name')!r} finds no keypoint of skeleton {skeleton.name!r}; choose another"
        )
    return mapping


def recipe_id(recipe: dict[str, Any], skeleton: Skeleton) -> str:
    """Return a short name of a recipe and a skeleton, by which a later run recognizes its own clips."""
    return xxh3_64_hexdigest(json.dumps([recipe, skeleton.name, skeleton.parts], sort_keys=True).encode())
