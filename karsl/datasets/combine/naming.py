"""How messages call a member of a combinator, and errors that say which member they are about."""

from __future__ import annotations

from typing import Any

from karsl.errors import ConfigError, DataProblems, KarslError


def kind(dataset: Any) -> str:
    """The class of a dataset or of its config."""
    named = dataset.get("type", "dict") if isinstance(dataset, dict) else type(dataset)
    return named if isinstance(named, str) else named.__name__


def at_member(error: Exception, where: str) -> KarslError:
    """The same error with the member in front; what is no error of ours becomes a ConfigError.

    Example:
        >>> at_member(KeyError("label"), "ConcatDataset: datasets[1] (KArSLDataset)")
        ConfigError("ConcatDataset: datasets[1] (KArSLDataset): KeyError: 'label'")
    """
    if isinstance(error, DataProblems):
        return DataProblems(f"{where}: {error.where}", error.problems, error.remedy)
    if isinstance(error, KarslError):
        return type(error)(f"{where}: {error}")
    return ConfigError(f"{where}: {type(error).__name__}: {error}")
