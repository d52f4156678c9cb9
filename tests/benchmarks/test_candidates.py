"""Every way whose library is here gives the source's clips and batches of the job; the others are skipped by name."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import choose_candidates, find_candidates
from benchmarks.dataset_files import check_clips
from karsl.errors import BenchError, ConfigError


def installed(name):
    way = find_candidates()[name]
    if reason := way.missing():
        pytest.skip(f"{name}: {reason}")
    return way


@pytest.mark.parametrize("name", find_candidates())
def test_a_way_reads_the_clips_that_were_written(name, stores):
    way = installed(name)
    store = stores.prepare(way)
    read = way.first_clips(Path(store.folder), 60)
    assert len(read) == 60
    assert all(np.array_equal(clip, source) for clip, source in zip(read, stores.source, strict=True))
    assert store.disk_bytes > stores.source.offsets[-1] * 184  # at least a byte a point and frame


@pytest.mark.parametrize("name", find_candidates())
def test_a_way_gives_batches_of_the_job(name, stores):
    way = installed(name)
    folder = Path(stores.prepare(way).folder)
    batches = way.loader(folder, batch_size=10, num_workers=0, seed=0, start_method="fork")
    for batch in islice(batches, 3):
        assert (batch.dtype, tuple(batch.shape)) == (torch.float32, (10, 50, 184, 4))
        assert bool(torch.isfinite(batch).all())
        assert len(torch.unique(batch[:, 0, 0, 0])) > 5, "clips of a batch must differ"


@pytest.mark.parametrize("name", find_candidates())
def test_clips_of_a_way_are_moved_and_mirrored(name, stores):
    way = installed(name)
    if way.role == "limit" or name == "karsl-kernel-eval":
        pytest.skip(f"{name} moves nothing")
    folder = Path(stores.prepare(way).folder)
    (batch,) = islice(way.loader(folder, batch_size=10, num_workers=0, seed=0, start_method="fork"), 1)
    seen = np.concatenate([clip.reshape(-1, 4) for clip in stores.source])
    seen = seen[(seen[:, :3] != 0).any(1)]
    x = batch[..., 0][(batch[..., :3] != 0).any(-1)].numpy()
    assert x.min() < seen[:, 0].min() or x.max() > seen[:, 0].max()  # rotation, scale and shift leave the source's range
    assert abs(float(np.median(x)) - 0.5) < 0.15


def test_a_wrong_clip_is_found(stores):
    way = find_candidates()["npy-per-clip"]
    folder = Path(stores.prepare(way).folder)
    with pytest.raises(BenchError, match="npy-per-clip: clip 0, .* is not that of the source"):
        check_clips(way, folder, list(reversed(list(stores.source))))


def test_a_missing_library_is_named_with_its_remedy(monkeypatch):
    way = find_candidates()["lmdb"]
    monkeypatch.setattr(type(way), "libraries", ("no_such_library",))
    ways, missing = choose_candidates(["lmdb", "memory-map"])
    assert [way.name for way in ways] == ["memory-map"]
    assert missing == {"lmdb": "no_such_library not installed; pip install 'karsl[bench]' brings it"}


def test_an_unknown_way_is_rejected_with_a_suggestion():
    with pytest.raises(ConfigError, match="no way 'memory_map'; did you mean 'memory-map'"):
        choose_candidates(["memory_map"])
