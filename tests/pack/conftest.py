"""Clips of many lengths as a source, and packs of them."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.pack.write import pack_clips
from tests.pack.packed_clips import make_source

SHARD_BYTES = 40_000  # some 3 clips of 67 points in float16


@pytest.fixture
def source():
    return make_source(20)


@pytest.fixture
def pack(source, tmp_path):
    """A float16 pack of 20 clips in several shards."""
    done = pack_clips(source, tmp_path / "pack", shard_bytes=SHARD_BYTES)
    assert len(done.manifest.shards) > 3
    return tmp_path / "pack"


@pytest.fixture
def same_content():
    """`same_content(a, b)` compares two folders, byte for byte."""

    def compare(a, b) -> None:
        names = [sorted(p.name for p in folder.iterdir()) for folder in (a, b)]
        assert names[0] == names[1]
        for name in names[0]:
            assert (a / name).read_bytes() == (b / name).read_bytes(), name
        assert np.load(a / "frames-00000.npy", mmap_mode="r").shape[2] == 4

    return compare
