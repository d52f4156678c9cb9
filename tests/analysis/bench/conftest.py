"""Sixty synthetic clips, and their source on disk, for all tests of the benchmark."""

from __future__ import annotations

import pytest

from karsl.analysis.bench.stores import Stores


@pytest.fixture(scope="session")
def stores(tmp_path_factory) -> Stores:
    return Stores(tmp_path_factory.mktemp("bench"), count=60)
