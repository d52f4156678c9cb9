"""Every candidate that can run here returns the clips of the source, and batches of the task; the others are skipped."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import choose_candidates, find_candidates
from benchmarks.dataset_files import check_clips
from benchmarks.errors import BenchError
from karsl.errors import ConfigError


def installed(name):
    candidate = find_candidates()[name]
    if reason := candidate.missing():
        pytest.skip(f"{name}: {reason}")
    return candidate


@pytest.mark.parametrize("name", find_candidates())
def test_a_candidate_reads_the_clips_that_were_written(name, stores):
    candidate = installed(name)
    store = stores.prepare(candidate)
    read = candidate.first_clips(Path(store.folder), 60)
    assert len(read) == 60
    assert all(np.array_equal(clip, source) for clip, source in zip(read, stores.source, strict=True))
    assert store.disk_bytes > stores.source.offsets[-1] * 184  # at least one byte per keypoint and frame


@pytest.mark.parametrize("name", find_candidates())
def test_a_candidate_returns_batches_of_the_task(name, stores):
    candidate = installed(name)
    folder = Path(stores.prepare(candidate).folder)
    batches = candidate.loader(folder, batch_size=10, num_workers=0, seed=0, start_method="fork")
    for batch in islice(batches, 3):
        assert (batch.dtype, tuple(batch.shape)) == (torch.float32, (10, 50, 184, 4))
        assert bool(torch.isfinite(batch).all())
        assert len(torch.unique(batch[:, 0, 0, 0])) > 5, "clips of a batch must differ"


@pytest.mark.parametrize("name", find_candidates())
def test_clips_of_a_candidate_are_moved_and_mirrored(name, stores):
    candidate = installed(name)
    if candidate.role == "limit" or name == "karsl-kernel-eval":
        pytest.skip(f"{name} moves nothing")
    folder = Path(stores.prepare(candidate).folder)
    (batch,) = islice(candidate.loader(folder, batch_size=10, num_workers=0, seed=0, start_method="fork"), 1)
    seen = np.concatenate([clip.reshape(-1, 4) for clip in stores.source])
    seen = seen[(seen[:, :3] != 0).any(1)]
    x = batch[..., 0][(batch[..., :3] != 0).any(-1)].numpy()
    assert x.min() < seen[:, 0].min() or x.max() > seen[:, 0].max()  # rotation, scale and shift leave the source's range
    assert abs(float(np.median(x)) - 0.5) < 0.15


def test_a_wrong_clip_is_found(stores):
    candidate = find_candidates()["npy-per-clip"]
    folder = Path(stores.prepare(candidate).folder)
    with pytest.raises(BenchError, match="npy-per-clip: clip 0, .* differs from the source"):
        check_clips(candidate, folder, list(reversed(list(stores.source))))


def test_a_missing_library_is_named_with_its_remedy(monkeypatch):
    candidate = find_candidates()["lmdb"]
    monkeypatch.setattr(type(candidate), "libraries", ("no_such_library",))
    candidates, missing = choose_candidates(["lmdb", "memory-map"])
    assert [candidate.name for candidate in candidates] == ["memory-map"]
    assert missing == {"lmdb": "no_such_library not installed: pip install 'karsl[bench]'"}


def test_an_unknown_candidate_is_rejected_with_a_suggestion():
    with pytest.raises(ConfigError, match="no candidate 'memory_map'; did you mean 'memory-map'"):
        choose_candidates(["memory_map"])
