"""Sixty synthetic clips, and their source on disk, for all tests of the benchmark."""

from __future__ import annotations

import pytest

from benchmarks.dataset_files import DatasetFiles


@pytest.fixture(scope="session")
def stores(tmp_path_factory) -> DatasetFiles:
    return DatasetFiles(tmp_path_factory.mktemp("bench"), count=60)
