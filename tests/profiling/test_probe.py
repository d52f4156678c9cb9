"""Real loaders under every start method: whose records are shared, whose are copied."""

from __future__ import annotations

import sys
from functools import partial

import pytest
import torch

from karsl.cli.memory import synthetic_loader
from karsl.errors import AnnotationError, ProbeError
from karsl.profiling.probe import probe
from karsl.profiling.results import Case
from karsl.testing.records import shuffled_loader

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="page maps are Linux's")
COUNT = 20_000


@pytest.fixture
def loader(tmp_path):
    return partial(synthetic_loader, count=COUNT, index_cache=str(tmp_path / "index"))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_after_a_shuffled_epoch_no_page_of_the_index_is_private(loader, method):
    series = probe(loader, Case(method, "on"), points=3)
    assert [p.role for p in series.last.processes] == ["main", "worker 0", "worker 1"]
    assert {(p.records, p.private_ratio) for p in series.last.processes} == {("index", 0.0)}
    assert series.pickled_bytes < 100_000
    assert (series.num_records, series.last.iteration) == (COUNT, 20)


def test_python_records_are_copied_under_fork(loader):
    series = probe(partial(loader, batch_size=32), Case("fork", "off"), points=3)
    first, last = series.points[0].private_ratio, series.last.private_ratio
    assert first < last > 0.95  # a page at the edge of an arena may hold one record only, which the other worker read


def test_the_buffer_of_mmengine_is_copied_under_spawn(loader):
    series = probe(loader, Case("spawn", "mmengine", num_workers=1), points=2)
    main, worker = series.last.processes
    assert (main.records, worker.records, worker.private_ratio) == ("buffer", "buffer", 1.0)
    assert series.pickled_bytes > 100_000


def test_ranks_share_one_index(loader):
    series = probe(loader, Case("fork", "on", num_workers=1, ranks=2), points=2, epochs=2)
    assert [(p.rank, p.role) for p in series.last.processes] == [(0, "main"), (0, "worker 0"), (1, "main"), (1, "worker 0")]
    assert {p.private_ratio for p in series.last.processes} == {0.0}
    assert (series.last.epoch, series.last.iteration) == (1, 40)


class Leaky(torch.utils.data.Dataset):
    """Keeps 256 KiB of every sample."""

    def __init__(self):
        self.kept = []

    def __len__(self):
        return 200

    def __getitem__(self, index):
        self.kept.append(bytearray(b"x") * (1 << 18))
        return index


def leaky_loader(case, rank):
    return shuffled_loader(Leaky(), num_workers=0, start_method=case.start_method, batch_size=4, seed=rank)


def test_a_leak_is_found_in_the_main_process_where_there_are_no_workers():
    from karsl.profiling.results import growth_verdict, sharing_verdict

    series = probe(leaky_loader, Case("fork", num_workers=0))
    assert growth_verdict(series).startswith("grows")
    assert "stores no records" in sharing_verdict(series)


def broken_loader(case, rank, error):
    raise error


def test_an_error_of_ours_passes_through():
    with pytest.raises(AnnotationError, match="bad file"):
        probe(partial(broken_loader, error=AnnotationError("bad file")), Case("fork"))


def test_any_other_error_names_the_rank():
    with pytest.raises(ProbeError, match=r"rank 0 of the probe failed: no such thing\nTraceback"):
        probe(partial(broken_loader, error=RuntimeError("no such thing")), Case("fork"))


def test_an_empty_dataset_is_one_sentence(tmp_path):
    empty = partial(synthetic_loader, count=0, index_cache=None)
    with pytest.raises((ProbeError, ValueError), match=r"num_samples|no batch"):
        probe(empty, Case("fork", num_workers=0))
