"""What both plots need."""

from __future__ import annotations

from importlib.util import find_spec

from karsl.errors import missing_extra


def need_matplotlib() -> None:
    """Look for matplotlib before minutes of measuring.

    Raises:
        MissingExtraError: It is absent.
    """
    if find_spec("matplotlib") is None:
        raise missing_extra("viz", "matplotlib")
