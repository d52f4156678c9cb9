"""Files of 60 synthetic clips, shared by all tests of the benchmark."""

from __future__ import annotations

import pytest

from benchmarks.dataset_files import DatasetFiles


@pytest.fixture(scope="session")
def stores(tmp_path_factory) -> DatasetFiles:
    return DatasetFiles(tmp_path_factory.mktemp("bench"), count=60)
