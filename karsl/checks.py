"""Checks of arguments. Each returns a plain value or raises a ConfigError that names the owner and the argument."""

from __future__ import annotations

import math
import operator
from numbers import Integral, Real

from karsl.errors import ConfigError

_LIMIT = 1 << 63


def check_int(where: str, *, low: int = 0, **numbers: int) -> None:
    """Check seeds, epochs and counts, given by keyword.

    Raises:
        ConfigError: If one is not an integer in [low, 2**63 - 1].

    Example:
        >>> check_int("KArSLDataset", seed=-1)
        Traceback (most recent call last):
        karsl.errors.ConfigError: KArSLDataset: seed=-1; expected an integer from 0 to 2**63 - 1
    """
    for name, value in numbers.items():
        if not isinstance(value, Integral) or not low <= value < _LIMIT:
            raise ConfigError(f"{where}: {name}={value!r}; expected an integer from {low} to 2**63 - 1")


def check_range(owner: object, name: str, value: tuple[float, float], *, low: float | None = None) -> tuple[float, float]:
    """Check a (from, to) argument.

    Raises:
        ConfigError: If `value` is not two ascending finite numbers of at least `low`.
    """
    pair = tuple(value) if isinstance(value, (tuple, list)) and all(map(_is_finite, value)) else ()
    if len(pair) != 2 or not pair[0] <= pair[1] or (low is not None and pair[0] < low):
        minimum = f" of at least {low}" if low is not None else ""
        raise ConfigError(f"{type(owner).__name__}: {name}={value!r}; expected two ascending numbers{minimum}, (from, to)")
    return float(pair[0]), float(pair[1])


def check_number(owner: object, name: str, value: float, *, low: float = -math.inf) -> float:
    """Check a single number.

    Raises:
        ConfigError: If `value` is not finite, or below `low`.
    """
    if not _is_finite(value) or value < low:
        minimum = f" of at least {low}" if low > -math.inf else ""
        raise ConfigError(f"{type(owner).__name__}: {name}={value!r}; expected a finite number{minimum}")
    return float(value)


def check_prob(owner: object, name: str, value: float) -> float:
    """Check a probability.

    Raises:
        ConfigError: If `value` is outside [0, 1].
    """
    if not isinstance(value, Real) or not 0 <= value <= 1:
        raise ConfigError(f"{type(owner).__name__}: {name}={value!r} is not a probability in [0, 1]")
    return float(value)


def check_clip_len(owner: object, clip_len: int) -> int:
    """Check a number of frames.

    Raises:
        ConfigError: If `clip_len` is not an integer of at least 1.
    """
    try:
        length = operator.index(clip_len)
    except TypeError:
        length = 0
    if length < 1:
        raise ConfigError(f"{type(owner).__name__}: clip_len={clip_len!r}; expected an integer of at least 1 frame")
    return length


def _is_finite(value: object) -> bool:
    return isinstance(value, Real) and math.isfinite(value)
