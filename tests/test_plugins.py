"""A package that names a module in the entry points `karsl.plugins` registers what it has by being installed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PLUGIN = """
import numpy as np
from karsl.datasets import KeypointDataset
from karsl.formats import register_format
from karsl.io.sources import FunctionSource
from karsl.registry import DATASETS
from karsl.skeletons import Skeleton, register_skeleton

ARMS = register_skeleton(Skeleton("plugin_arms", (("pose", ("left_wrist", "right_wrist")),)))


def read(record):
    return np.full((3, 2, 4), record["value"], np.float32)


@register_format("armtxt", description="a file of numbers", cannot_store="x", detect=lambda path: path.suffix == ".armtxt")
def open_armtxt(path, **_):
    records = [
        {"clip_id": f"c{n}", "label": 0, "num_frames": 3, "value": float(line)} for n, line in enumerate(path.open())
    ]
    return FunctionSource({"classes": ("wave",), "skeleton": "plugin_arms"}, ARMS, records, read)


@DATASETS.register_module()
class ArmDataset(KeypointDataset):
    METAINFO = {"skeleton": "plugin_arms"}
"""
SCRIPT = """
import karsl.datasets, karsl.engine, karsl.evaluation, karsl.inference, karsl.models, karsl.visualization
from karsl import plugins
print(plugins._is_loaded)  # a plugin imports these packages, so they must be complete before
from karsl.cli.main import main
assert main(["convert", "clips.armtxt", "out", "--to", "annotation"]) == 0
from karsl.registry import DATASETS
dataset = DATASETS.build(dict(type="ArmDataset", ann_file="annotations.json", data_root="out"))
print(type(dataset).__name__, len(dataset), dataset.skeleton.names)
from karsl.skeletons import skeleton_names
print("plugin_arms" in skeleton_names())
"""
LIGHT = """
from karsl.formats import register_format

@register_format("legtxt", description="a file of numbers", cannot_store="x")
def open_legtxt(path, **_): ...
"""


def install(site, name: str, code: str) -> None:
    """Write a package as pip installs it: a module and its metadata with an entry point."""
    info = site / f"{name}-1.2.dist-info"
    info.mkdir(parents=True)
    (site / f"{name}.py").write_text(code)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[karsl.plugins]\n{name} = {name}\n")


@pytest.fixture
def run(tmp_path):
    """Return a function that runs Python with the packages in `site`; it returns the lines of both outputs."""

    def run_python(*words: str) -> tuple[list[str], list[str]]:
        path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]))
        env = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines(), done.stderr.splitlines()

    return run_python


def test_an_installed_package_registers_a_format_a_skeleton_and_a_dataset(run, tmp_path):
    install(tmp_path / "site", "arm_corpus", PLUGIN)
    (tmp_path / "clips.armtxt").write_text("0.25\n0.5\n")
    out, err = run("-c", SCRIPT)
    assert (out[0], err) == ("False", [])
    assert out[1].startswith("2 clips")
    assert out[-2:] == ["ArmDataset 2 ('left_wrist', 'right_wrist')", "True"]


def test_a_plugin_that_fails_gives_one_warning_that_names_it_and_the_others_work(run, tmp_path):
    install(tmp_path / "site", "leg_corpus", LIGHT)
    install(tmp_path / "site", "broken_corpus", "import a_module_that_is_not_there\n")
    out, err = run("-m", "karsl", "convert", "--help")
    assert any(line.split()[:2] == ["legtxt", "r-"] for line in out)
    warned = [line for line in err if "broken_corpus" in line]
    assert len(warned) == 1
    assert "RuntimeWarning: plugin 'broken_corpus' of broken_corpus 1.2 is left out" in warned[0]
    assert "No module named 'a_module_that_is_not_there'" in warned[0]
