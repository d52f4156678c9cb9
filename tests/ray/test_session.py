"""Local Ray starts on demand and stops."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from karsl.errors import ConfigError, MissingExtraError
from karsl.ray import connect
from karsl.ray.session import require_ray

_SCRIPT = """
import json, sys
from karsl.ray import RayDataset, disconnect
cfg = json.loads(sys.argv[1])
try:
    RayDataset(dict(type="KArSLDataset", data_root="no/such/folder"), num_actors=1, num_cpus=0.1)
except FileNotFoundError as error:
    print("raised", "no/such/folder" in str(error))
dataset = RayDataset(cfg, num_actors=1, num_cpus=0.1)
print(len(dataset), tuple(dataset[0]["inputs"].shape))
import ray
print(ray.is_initialized())
disconnect()
print(ray.is_initialized())
"""


def test_without_a_cluster_ray_starts_locally_and_stops_with_the_process(ray, remote_cfg):
    done = subprocess.run([sys.executable, "-c", _SCRIPT, json.dumps(remote_cfg)], capture_output=True, text=True)
    assert done.stdout.split("\n")[:4] == ["raised True", "42 (6, 184, 3)", "True", "False"], done.stderr


def test_a_cluster_that_does_not_respond_raises(ray, monkeypatch):
    if ray.is_initialized():
        pytest.skip("connected to the cluster of other tests")
    with pytest.raises(ConfigError, match="no Ray cluster at '127.0.0.1:1' .*ray start --head"):
        connect("127.0.0.1:1")


def test_without_ray_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"ray is not installed; install it with: pip install 'karsl\[ray\]'"):
        require_ray()
