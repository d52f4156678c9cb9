"""A small source to convert."""

from __future__ import annotations

import pytest

from karsl.io.sources import FunctionSource
from tests.formats.random_clips import make_source


@pytest.fixture
def source() -> FunctionSource:
    """Return four clips of two signs, on `karsl_184`."""
    return make_source()
