"""Ray of this process: it starts when it is needed, and ends."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from karsl.errors import ConfigError, MissingExtraError
from karsl.remote import connect
from karsl.remote.session import need_ray

_SCRIPT = """
import json, sys
from karsl.remote import RemoteDataset, disconnect
cfg = json.loads(sys.argv[1])
try:
    RemoteDataset(dict(type="KArSLDataset", data_root="no/such/folder"), num_actors=1, num_cpus=0.1)
except FileNotFoundError as error:
    print("refused", "no/such/folder" in str(error))
dataset = RemoteDataset(cfg, num_actors=1, num_cpus=0.1)
print(len(dataset), tuple(dataset[0]["inputs"].shape))
import ray
print(ray.is_initialized())
disconnect()
print(ray.is_initialized())
"""


def test_without_a_cluster_ray_starts_here_and_ends_with_us(ray, remote_cfg):
    done = subprocess.run([sys.executable, "-c", _SCRIPT, json.dumps(remote_cfg)], capture_output=True, text=True)
    assert done.stdout.split("\n")[:4] == ["refused True", "42 (6, 184, 3)", "True", "False"], done.stderr


def test_a_cluster_that_is_not_there_is_said(ray, monkeypatch):
    if ray.is_initialized():
        pytest.skip("connected to the cluster of other tests")
    with pytest.raises(ConfigError, match="no Ray cluster at '127.0.0.1:1' .*ray start --head"):
        connect("127.0.0.1:1")


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"ray is not installed; pip install 'karsl\[ray\]'"):
        need_ray()
