"""What an encoder is: the last step of a recorded dataset, one item in, one item out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from karsl.errors import ConfigError, did_you_mean
from karsl.registry import ENCODERS
from karsl.skeletons import Skeleton


class Encoder:
    """Adds what a model eats to an item, and keeps everything else in it.

    A subclass fills `encode`. It is told once, with `bind`, what the dataset knows.

    Attributes:
        one_to_one: Whether every item gives exactly one; others cannot be found by their place and are refused.
    """

    one_to_one = True

    def bind(self, metainfo: Mapping[str, Any], skeleton: Skeleton | None) -> None:
        """Learn classes and keypoints of the dataset, before the first item."""

    def encode(self, item: dict) -> dict:
        """The keys to add to an item, which is not to be changed."""
        raise NotImplementedError

    def __call__(self, item: dict) -> dict:
        """The item with what `encode` adds."""
        return {**item, **self.encode(item)}


def build_encoders(given: Any) -> list[Encoder]:
    """Encoders of one config or several.

    Raises:
        ConfigError: No encoder of that name, or one that may give several items for one.
    """
    listed = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    encoders = [_build(one) for one in listed]
    for encoder in encoders:
        if not getattr(encoder, "one_to_one", True):
            raise ConfigError(
                f"{type(encoder).__name__} may give several items for one, so the place of an item would depend on all "
                "before it and random access would be lost; cut clips before they are added, or use save_as and add that"
            )
    return encoders


def _build(given: Any) -> Encoder:
    cfg = {"type": given} if isinstance(given, (str, type)) else given
    if not isinstance(cfg, Mapping):
        return given
    name = cfg.get("type")
    if isinstance(name, str) and ENCODERS.get(name) is None:
        hint = did_you_mean(name, ENCODERS.module_dict, f"known: {', '.join(sorted(ENCODERS.module_dict))}")
        raise ConfigError(f"no encoder {name!r}{hint}")
    try:
        return ENCODERS.build(dict(cfg))
    except TypeError as error:
        raise ConfigError(f"encoder {name!r}: {error}") from error
