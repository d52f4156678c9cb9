"""Splits of a corpus that ships none."""

from __future__ import annotations

from collections.abc import Mapping

from karsl.datasets.rng import hash_name
from karsl.errors import ConfigError
from karsl.registry import FUNCTIONS


@FUNCTIONS.register_module()
def hash_split(item: Mapping, split: str = "train", test_fraction: float = 0.2, key: str = "clip_id") -> bool:
    """Return True if an item belongs to a split, decided by a hash of its name. A predicate for FilterDataset.

    An item is always in the same split, whatever else the corpus contains. To keep signers disjoint, use `key='signer'`
    if the records name them.

    Args:
        item: Record or sample that has `key`.
        split: `'train'` or `'test'`.
        test_fraction: Expected fraction of distinct names in the test split.
        key: Key whose value is hashed.

    Raises:
        ConfigError: If `split` is neither.

    Example:
        >>> in_test = [hash_split({"clip_id": str(n)}, "test") for n in range(1000)]
        >>> 160 < sum(in_test) < 240, hash_split({"clip_id": "0"}, "train") != in_test[0]
        (True, True)
    """
    if split not in ("train", "test"):
        raise ConfigError(f"hash_split: split={split!r}; expected 'train' or 'test'")
    return (hash_name(str(item[key])) / 2**64 < test_fraction) == (split == "test")
