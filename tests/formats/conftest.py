"""A small source to convert."""

from __future__ import annotations

import pytest

from karsl.storage.convert import Clips
from tests.storage.convert.drawn_clips import make_source


@pytest.fixture
def source() -> Clips:
    """Four clips of two signs, of `karsl_184`."""
    return make_source()
