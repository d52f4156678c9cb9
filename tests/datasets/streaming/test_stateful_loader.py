"""torchdata's StatefulDataLoader, an optional dependency: real processes, killed and resumed bitwise."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from karsl.datasets import ResumableSampler, StreamDataset, TarDataset, keypoint_collate
from karsl.datasets.order import resumable
from karsl.datasets.order.resumable import OrderIterator
from karsl.errors import BatchLostError

pytest.importorskip("torchdata.stateful_dataloader", reason="torchdata is not installed")
SCRIPT = Path(__file__).with_name("stateful_run.py")
_SPEC = importlib.util.spec_from_file_location("stateful_run", SCRIPT)
stateful_run = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(stateful_run)


def run(*arguments: object, killed: bool = False) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == (-signal.SIGKILL if killed else 0), done.stderr[-2000:]


def make_loader(stores, source: str, **options):
    """Return what has `set_epoch`, and a loader of it."""
    from torchdata.stateful_dataloader import StatefulDataLoader

    pipeline, options = stateful_run.PIPELINE, {"batch_size": 8, "collate_fn": keypoint_collate, **options}
    if source == "stream":
        order = StreamDataset(str(stores / "tars"), pipeline, seed=5, window=20, block_size=7, batch_size=8)
        return order, StatefulDataLoader(order, **options)
    dataset = TarDataset(stores / "tars", pipeline, seed=5)
    order = ResumableSampler(dataset, seed=5)
    return order, StatefulDataLoader(dataset, sampler=order, **options)


def read(loader) -> list:
    return [(batch["sample_idx"].tolist(), batch["inputs"].sum().item()) for batch in loader]


@pytest.fixture(scope="module")
def epochs(stores) -> dict:
    """Batches of the first three epochs."""
    made: dict = {}
    for source in ("sampler", "stream"):
        order, loader = make_loader(stores, source)
        made[source] = [order.set_epoch(epoch) or read(loader) for epoch in range(3)]
    return made


@pytest.mark.parametrize("requested", [None, 1, 2])
@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("sampler", {}),
        ("stream", {}),
        ("stream", {"num_workers": 2}),
        ("stream", {"num_workers": 1, "persistent_workers": True}),
    ],
)
def test_a_state_of_a_finished_epoch_begins_the_next_one(stores, epochs, source, options, requested):
    order, loader = make_loader(stores, source, **options)
    assert read(loader) == epochs[source][0]
    state = loader.state_dict()
    order, loader = make_loader(stores, source, **options)
    loader.load_state_dict(state)
    if requested is not None:
        order.set_epoch(requested)
    assert read(loader) == epochs[source][requested or 1]
    assert order.epoch == (requested or 1)
    order.set_epoch(0)
    assert read(loader) == epochs[source][0], "an epoch that is requested later is complete"


@pytest.mark.parametrize("options", [{"num_workers": 2}, {"num_workers": 1, "snapshot_every_n_steps": 3}])
def test_an_epoch_that_is_requested_after_loading_is_not_lost(stores, epochs, options):
    _, loader = make_loader(stores, "stream", **options)
    reading = iter(loader)
    rest = [next(reading) for _ in range(5)] and loader.state_dict()
    order, loader = make_loader(stores, "stream", **options)
    loader.load_state_dict(rest)
    order.set_epoch(0)
    assert [indices for indices, _ in read(loader)] == [indices for indices, _ in epochs["stream"][0][5:]]
    state = loader.state_dict()
    order, loader = make_loader(stores, "stream", **options)
    loader.load_state_dict(state)
    order.set_epoch(1)
    assert read(loader) == epochs["stream"][1]


@pytest.mark.parametrize("requested", [0, 1])
@pytest.mark.parametrize(("source", "workers"), [("sampler", 0), ("stream", 2), ("stream", 3)])
def test_a_state_after_the_last_batch_continues_with_the_requested_epoch(stores, epochs, source, workers, requested):
    _, loader = make_loader(stores, source, num_workers=workers)
    for _ in loader:
        state = loader.state_dict()
    order, loader = make_loader(stores, source, num_workers=workers)
    loader.load_state_dict(state)
    order.set_epoch(requested)
    assert read(loader) == (epochs[source][1] if requested else []), "nothing is left of the first epoch"
    order.set_epoch(requested + 1)
    assert read(loader) == epochs[source][requested + 1]


def test_an_epoch_that_follows_a_finished_one_is_resumed_though_another_worker_began_it(stores, epochs):
    state = None
    for epoch, count in ((0, 8), (1, 3), (1, 5), (2, 1)):  # 8 batches of 3 workers: the third one begins epoch 1
        order, loader = make_loader(stores, "stream", num_workers=3)
        if state is not None:
            loader.load_state_dict(state)
        order.set_epoch(epoch)
        expected = epochs["stream"][epoch][3 if count == 5 else 0 :]
        for batch, (indices, _) in zip(loader, expected[:count], strict=False):
            assert batch["sample_idx"].tolist() == indices
            state, count = loader.state_dict(), count - 1
            if not count:
                break
        assert count == 0


def test_a_worker_that_waits_for_another_one_in_vain_says_so(stores, monkeypatch):
    order, _ = make_loader(stores, "stream")
    order.set_epoch(1)
    first, last = (OrderIterator(order, batch_size=8, num_workers=2, worker=number) for number in range(2))
    monkeypatch.setattr(resumable, "_pass_seed", lambda: 7)
    monkeypatch.setattr(resumable, "_MAX_WAIT_S", 0)
    state = {"seed": 5, "epoch": 0, "start": 0, "done": order.total}
    first.load_state_dict(state)
    with pytest.raises(BatchLostError, match="another worker did not load its state within 0 s"):
        next(first)
    last.load_state_dict(state)
    assert next(first) == order.order(5, 1).indices(np.array([0]))[0]


def batches(folder: Path) -> list:
    return [json.loads(line) for line in (folder / "batches.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("source", "workers"), [("stream", 2), *([("sampler", 2), ("stream", 0)] if os.environ.get("KARSL_LONG_TESTS") else [])]
)
def test_a_killed_process_resumes_with_the_next_batch(stores, tmp_path, source, workers):
    complete, resumed = tmp_path / "complete", tmp_path / "resumed"
    stateful_run.main(str(stores / "tars"), complete, source, 0, 0)
    run(stores / "tars", resumed, source, workers, 3, killed=True)
    run(stores / "tars", resumed, source, workers, 0)
    assert len(batches(complete)) == 8
    assert batches(complete) == batches(resumed)
