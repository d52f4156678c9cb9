"""Which top-level keys the Runner reads, and which look like a mistyped one of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import cache

from mmengine.runner import Runner

from karsl.errors import ConfigError

# Read by the Runner from `cfg` besides its arguments, and by Config itself.
_READ_FROM_CFG = (
    "activation_checkpointing", "compile", "custom_imports", "efficient_conv_bn_eval", "find_unused_parameters",
    "model_wrapper_cfg", "sync_bn",
)  # fmt: skip


@cache
def runner_keys() -> frozenset[str]:
    """Top-level keys of a config that have a meaning to MMEngine's Runner."""
    arguments = set(inspect.signature(Runner.__init__).parameters) - {"self", "cfg"}
    return frozenset(arguments.union(_READ_FROM_CFG))


def check_keys(keys: Iterable[str]) -> None:
    """Refuse top-level keys that are nearly a Runner key: MMEngine would ignore them and train with defaults.

    Names that start with an underscore are never refused.

    Raises:
        ConfigError: Names every such key with what was probably meant.

    Example:
        >>> check_keys(["train_dataloader", "clip_len"])
        >>> check_keys(["train_dataloder"])
        Traceback (most recent call last):
        karsl.errors.ConfigError: unknown top-level key 'train_dataloder', did you mean 'train_dataloader'? ...
    """
    slips = {key: meant for key in keys if (meant := _meant(key))}
    if slips:
        found = "; ".join(f"unknown top-level key '{key}', did you mean '{meant}'?" for key, meant in slips.items())
        raise ConfigError(
            f"{found} A variable of your own with such a name needs a leading underscore, '_{next(iter(slips))}'"
        )


def _meant(key: str) -> str | None:
    if key in runner_keys() or key.startswith("_"):
        return None
    allowed = 2 if len(key) >= 8 else 1
    distance, nearest = min((edit_distance(key, known), known) for known in runner_keys())
    if distance > allowed or (len(key) < 6 and sorted(key) != sorted(nearest)):
        return None
    return nearest


def edit_distance(a: str, b: str) -> int:
    """Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.

    Example:
        >>> edit_distance("trian_cfg", "train_cfg"), edit_distance("modl", "model")
        (1, 1)

    Source: Damerau 1964, doi 10.1145/363958.363994, in the restricted form (optimal string alignment).
    """
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        row = [i]
        for j, y in enumerate(b, start=1):
            best = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, before[j - 2] + 1)
            row.append(best)
        before, last = last, row
    return last[-1]
