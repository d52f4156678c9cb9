"""A dataset in actors on nodes that die: each batch once, in order, equal to the local one."""

from __future__ import annotations

import json
import os
import signal
import time
from threading import Thread

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

from karsl.cli.main import main
from karsl.datasets import keypoint_collate
from karsl.errors import ConfigError
from karsl.formats import open_clips
from karsl.pack.write import pack_clips
from karsl.ray import PrefetchBatches, RayDataset, pack_on_ray, session, to_ray_dataset
from karsl.registry import DATASETS


@pytest.fixture(scope="module")
def actors(cluster, remote_cfg):
    """One dataset for all tests: an actor takes seconds to start."""
    dataset = RayDataset(remote_cfg, num_actors=2, address=cluster.address, num_cpus=0.5)
    yield dataset
    dataset.close()


@pytest.fixture
def remote(actors):
    actors.set_epoch(0)
    return actors


def epoch_here(cfg, number, batches):
    dataset = DATASETS.build(cfg)
    dataset.set_epoch(number)
    return [keypoint_collate(dataset.__getitems__(chosen)) for chosen in batches]


def assert_equal(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)


def lists(dataset, size):
    generator = torch.Generator().manual_seed(1)
    return list(BatchSampler(RandomSampler(dataset, generator=generator), size, drop_last=False))


def test_attributes_and_records_are_those_of_the_local_dataset(remote, remote_cfg):
    here = DATASETS.build(remote_cfg)
    assert len(remote) == len(here)
    assert remote.metainfo == here.metainfo
    assert remote.output_skeleton == here.output_skeleton
    assert remote.get_data_info(3) == here.get_data_info(3)
    assert remote.get_cat_ids(-1) == here.get_cat_ids(-1)
    assert remote.column("label").tolist() == here.column("label").tolist()
    assert torch.equal(remote[-1]["inputs"], here.__getitems__([len(here) - 1]).collate()["inputs"][0])
    with pytest.raises(IndexError):
        remote[len(remote)]


def test_batches_are_those_of_the_local_dataset_in_every_epoch(remote, remote_cfg):
    chosen = lists(remote, 5)
    for number in (0, 1):
        remote.set_epoch(number)
        loader = DataLoader(remote, batch_sampler=PrefetchBatches(chosen, remote), collate_fn=keypoint_collate)
        assert len(loader) == len(chosen)
        assert_equal(list(loader), epoch_here(remote_cfg, number, chosen))


def test_a_loader_of_mmengines_runner_prefetches_batches(remote, remote_cfg):
    loader = Runner.build_dataloader(
        dict(
            dataset=remote,
            batch_size=5,
            num_workers=0,
            sampler=dict(type="DefaultSampler", shuffle=True),
            batch_sampler=dict(type="karsl.PrefetchBatchSampler"),
            collate_fn=keypoint_collate,
        ),
        seed=1,
    )
    chosen = list(BatchSampler(loader.batch_sampler.sampler, 5, drop_last=False))
    assert_equal(list(loader), epoch_here(remote_cfg, 0, chosen))


def test_prefetched_batches_are_bounded_in_bytes(remote, monkeypatch):
    monkeypatch.setattr(remote._pool, "max_bytes", 200_000)
    monkeypatch.setattr(remote._pool, "_batch_bytes", 0)
    pending = []
    for batch in remote.batches(lists(remote, 2)):
        pending.append(remote._pool.num_pending * sum(tensor.nbytes for tensor in batch.values()))
    assert 50_000 < max(pending) <= 200_000


@pytest.fixture
def little_prefetch(remote, monkeypatch):
    """Two or three pending batches, so that most are made after a loss."""
    monkeypatch.setattr(remote._pool, "max_bytes", 150_000)


def test_an_actor_that_is_killed_in_mid_epoch_loses_nothing(remote, remote_cfg, little_prefetch):
    chosen = lists(remote, 3)
    found = []
    for batch in remote.batches(chosen):
        found.append(batch)
        if len(found) in (2, 5):
            pid = remote._pool.call("pid")
            os.kill(pid, signal.SIGKILL)
    assert_equal(found, epoch_here(remote_cfg, 0, chosen))


def test_errors_of_the_dataset_are_raised_locally(remote):
    with pytest.raises(KeyError, match="nothing"):
        remote.column("nothing")
    with pytest.raises(IndexError, match="out of range for a MapDataset"):
        remote.get_data_info(10**6)
    with pytest.raises(ConfigError, match="num_actors=0"):
        RayDataset({}, num_actors=0)


def test_a_seed_different_from_that_of_the_dataset_raises(cluster, remote, remote_cfg):
    pytest.importorskip("pandas", reason="pandas is not installed: karsl[ray]")
    for make, options in ((RayDataset, dict(num_actors=1, num_cpus=0.1)), (to_ray_dataset, {})):
        with pytest.raises(ConfigError, match=f"{make.__name__}: seed=5 differs from seed=3 in the dataset's config"):
            make(remote_cfg, address=cluster.address, seed=5, **options)
    with pytest.raises(ConfigError, match="set_epoch: seed=-1"):
        remote.set_epoch(0, seed=-1)


def test_a_seed_is_used_if_the_dataset_has_none(cluster, remote_cfg):
    free = {key: value for key, value in remote_cfg.items() if key != "seed"}
    dataset = RayDataset(free, num_actors=1, address=cluster.address, num_cpus=0.1, seed=5)
    found = list(dataset.batches([[0, 7], [3]]))
    dataset.close()
    assert_equal(found, epoch_here({**remote_cfg, "seed": 5}, 0, [[0, 7], [3]]))


def test_workers_of_a_loader_raise(remote):
    with pytest.raises(Exception, match="needs num_workers=0|cannot be pickled"):
        next(iter(DataLoader(remote, 2, num_workers=1, collate_fn=keypoint_collate)))


def shards_of(folder):
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["shards"]


def test_a_cluster_writes_the_same_bytes(cluster, corpus, tmp_path):
    source = open_clips(corpus)
    pack_clips(source, tmp_path / "here", shard_bytes=1 << 20)
    done = pack_on_ray(source, tmp_path / "there", address=cluster.address, num_cpus=0.1, shard_bytes=1 << 20)
    assert done.added == len(source.records)
    words = ["pack", str(corpus), str(tmp_path / "command"), "--ray", cluster.address, "--workers", "2"]
    assert main(words) == 0
    assert main(["pack", "--verify", str(tmp_path / "command")]) == 0
    assert shards_of(tmp_path / "there") == shards_of(tmp_path / "here")
    for shard in sorted(path.name for path in (tmp_path / "here").glob("*.npy")):
        assert (tmp_path / "there" / shard).read_bytes() == (tmp_path / "here" / shard).read_bytes()


def test_waiting_for_cpus_that_are_never_free_warns(cluster, remote, ray, monkeypatch, tmp_path):
    monkeypatch.setattr(session, "WARN_AFTER_S", 0.3)
    flag = tmp_path / "flag"

    @ray.remote(max_retries=0)
    def ends_with_the_flag():
        end = time.monotonic() + 120
        while not flag.exists() and time.monotonic() < end:
            time.sleep(0.05)

    never, later = ends_with_the_flag.options(num_cpus=3).remote(), ends_with_the_flag.options(num_cpus=0.1).remote()
    with pytest.warns(UserWarning, match="of 4 CPUs are free over all nodes, and 3 on one node are requested") as warned:
        assert wait_and_write_flag([never, later], warned, flag) == later
    ray.cancel(never)


def wait_and_write_flag(references, warned, flag):
    """Return the first to finish; write the flag as soon as there is a warning."""

    def touch():
        end = time.monotonic() + 120
        while not any("CPUs are free" in str(one.message) for one in list(warned)) and time.monotonic() < end:
            time.sleep(0.05)
        flag.touch()

    Thread(target=touch, daemon=True).start()
    return session.wait_any(references, num_cpus=3)


@pytest.mark.skipif(not os.environ.get("KARSL_LONG_TESTS"), reason="KARSL_LONG_TESTS=1 runs it")
def test_rows_of_ray_data_are_the_clips_in_order(cluster, remote_cfg):
    pytest.importorskip("pandas", reason="pandas is not installed: karsl[ray]")
    here = DATASETS.build(remote_cfg)
    rows = to_ray_dataset(remote_cfg, address=cluster.address, batch_size=20, num_actors=1, num_cpus=0.1, seed=3).take_all()
    assert [row["sample_idx"] for row in rows] == list(range(len(here)))
    expected = here.__getitems__(range(len(here))).collate()["inputs"].numpy()
    assert all(np.array_equal(row["inputs"], clip) for row, clip in zip(rows, expected, strict=True))


def test_a_node_that_dies_in_mid_epoch_loses_nothing(cluster, remote, remote_cfg, little_prefetch):
    """Runs last, because it removes CPUs."""
    chosen = lists(remote, 3)
    found = []
    for batch in remote.batches(chosen):
        found.append(batch)
        if len(found) == 3:
            here = remote._pool.call("node")
            (node,) = [node for node in cluster.nodes_of_actors if node.node_id == here]
            cluster.remove_node(node, allow_graceful=False)
    assert_equal(found, epoch_here(remote_cfg, 0, chosen))
