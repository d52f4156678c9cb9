"""Small datasets with known samples."""

from __future__ import annotations

import pytest
from torch.utils.data import Dataset


class Numbers(Dataset):
    """Samples {'value': base + i}, without karsl."""

    def __init__(self, count, base=0, classes=None):
        self.count, self.base = count, base
        if classes is not None:
            self.metainfo = {"classes": classes}

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        assert 0 <= i < self.count
        return {"value": self.base + i, "label": i}

    def get_data_info(self, i):
        return {"clip_id": str(self.base + i), "label": i}

    def get_cat_ids(self, i):
        return [i]


def values_of(dataset):
    return [dataset[i]["value"] for i in range(len(dataset))]


@pytest.fixture
def numbers():
    return Numbers


@pytest.fixture
def values():
    return values_of
