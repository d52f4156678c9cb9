"""A stable random part of a corpus that ships no split."""

from __future__ import annotations

from collections.abc import Mapping

from karsl.datasets.draws import name_code
from karsl.errors import ConfigError
from karsl.registry import FUNCTIONS


@FUNCTIONS.register_module()
def in_part(item: Mapping, part: str = "train", test_share: float = 0.2, key: str = "clip_id") -> bool:
    """Whether an item is in the train or in the test part, by a number of its name; for FilterDataset.

    The same clip is always in the same part, whatever else is in the corpus. It does not keep signers apart: `key='signer'`
    does, for corpora that name them.

    Args:
        item: Has `key`.
        part: `'train'` or `'test'`.
        test_share: Of all names, in the mean.
        key: What is numbered.

    Raises:
        ConfigError: Another part.

    Example:
        >>> parts = [in_part({"clip_id": str(n)}, "test") for n in range(1000)]
        >>> 160 < sum(parts) < 240, in_part({"clip_id": "0"}, "train") != parts[0]
        (True, True)
    """
    if part not in ("train", "test"):
        raise ConfigError(f"in_part: part={part!r}; expected 'train' or 'test'")
    return (name_code(str(item[key])) / 2**64 < test_share) == (part == "test")
