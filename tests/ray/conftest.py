"""A Ray cluster of three simulated nodes, a pack and a dataset config."""

from __future__ import annotations

import pytest

from karsl.cli.main import main


@pytest.fixture(scope="session")
def ray():
    return pytest.importorskip("ray", reason="ray is not installed: karsl[ray]")


@pytest.fixture(scope="module")
def cluster(ray, monkeypatch_module):
    """A head without CPUs for actors, and two nodes of two each: a task fits next to the actors."""
    from ray.cluster_utils import Cluster

    options = dict(num_cpus=2, object_store_memory=80 << 20)
    head = {**options, "num_cpus": 0, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={**head, "wait": False})
    cluster.nodes_of_actors = [cluster.add_node(wait=False, **options) for _ in range(2)]
    cluster.wait_for_nodes(timeout=300)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_DEDUP_LOGS", "0")
        patch.setenv("RAY_health_check_period_ms", "500")
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")  # other load on the machine kills no task and may delay its start
        for limit in ("worker_register_timeout_seconds", "gcs_server_port_wait_time_s"):
            patch.setenv(f"RAY_{limit}", "300")
        patch.delenv("RAY_ADDRESS", raising=False)
        yield patch


@pytest.fixture(scope="session")
def remote_pack(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("remote") / "pack"
    assert main(["pack", str(corpus), str(folder), "--workers", "0"]) == 0
    return folder


@pytest.fixture(scope="session")
def remote_cfg(remote_pack):
    """Two subsets of the pack, concatenated, with augmentation."""
    pipeline = [dict(type="LoadKeypoints"), dict(type="TSNSampleFrames", clip_len=6, jitter=1.0), dict(type="RandomAffine")]
    leaf = dict(type="KArSLDataset", ann_file="annotations.json", data_root=str(remote_pack), pipeline=pipeline)
    parts = [{**leaf, "filter_cfg": dict(signers=signer)} for signer in ("01", "02")]
    return dict(
        type="MapDataset",
        transform=[dict(type="CenterScale"), dict(type="PackKeypointInputs")],
        dataset=dict(type="MixDataset", datasets=parts, weights=[2, 1]),
        seed=3,
    )
