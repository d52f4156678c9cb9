"""The modules that a clip, a record and a config pass, compared with the lists in CONTRIBUTING.md."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.runner import Runner

import karsl
import karsl.cli.train  # noqa: F401 - imported by the command, before its functions are followed
from karsl import engine
from karsl.cli.main import main
from karsl.datasets import KArSLDataset, KeypointDataset, keypoint_collate
from karsl.io import hashing

ROOT = Path(karsl.__file__).parent
CONTRIBUTING = ROOT.parent / "CONTRIBUTING.md"
PIPELINE = [
    dict(type="LoadKeypoints"),
    dict(type="TSNSampleFrames", clip_len=8),
    dict(type="RandomFlip"),
    dict(type="CenterScale"),
    dict(type="PackKeypointInputs"),
]


@pytest.fixture(scope="module")
def pack(corpus, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("paths") / "pack"
    assert main(["pack", str(corpus), str(folder)]) == 0
    return str(folder)


class Follower:
    """Collects the modules of the package in which a function is called, without the package's name and `.py`."""

    def __init__(self) -> None:
        self.modules: set[str] = set()

    def _profile(self, frame, event, argument) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and frame.f_code.co_name != "<module>" and path.is_relative_to(ROOT):
            self.modules.add(path.relative_to(ROOT).with_suffix("").as_posix())

    def start(self) -> None:
        sys.setprofile(self._profile)

    def stop(self) -> None:
        sys.setprofile(None)

    def follow(self, function: Callable) -> set[str]:
        self.start()
        try:
            function()
        finally:
            self.stop()
        return self.modules


def listed(heading: str) -> set[str]:
    """Modules in the section of a heading, each in backticks."""
    sections = re.split(r"^##+ ", CONTRIBUTING.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (section,) = [text for text in sections if text.startswith(heading)]
    return set(re.findall(r"`([a-z_0-9]+(?:/[a-z_0-9]+)+)`", section.partition("\n")[2]))


def test_a_clip_of_a_pack_passes_the_listed_modules(pack):
    dataset = KArSLDataset("annotations.json", data_root=pack, pipeline=PIPELINE, seed=0)

    def make_batch() -> None:
        assert len(keypoint_collate(dataset.__getitems__([0, 1, 2]))["label"]) == 3

    make_batch()
    found = Follower().follow(make_batch)
    assert found == listed("A clip: pack to batch")
    assert len(found) <= 20


def test_a_record_passes_the_listed_modules(pack, tmp_path, monkeypatch):
    monkeypatch.setattr(hashing, "RACY_NS", 0)  # the annotation file is as good as old: its hash is stored

    dataset = KeypointDataset("annotations.json", data_root=pack, index_cache=str(tmp_path), lazy_init=True)

    def read_record() -> None:
        dataset.full_init()
        assert dataset.get_data_info(0)["sample_idx"] == 0

    found = {name for name in Follower().follow(read_record) if name.startswith(("datasets/", "io/"))}
    assert found == listed("A record: annotation file to shared index")
    assert len(found) <= 12


def test_a_config_passes_the_listed_modules(corpus, tmp_path, monkeypatch, capsys):
    follower, build_runner = Follower(), engine.build_runner

    def build(cfg):
        runner = build_runner(cfg)
        follower.stop()
        return runner

    monkeypatch.setattr(engine, "build_runner", build)
    monkeypatch.setattr(Runner, "train", lambda runner: None)
    config = str(ROOT.parent / "configs" / "karsl502_signer_dependent.py")
    options = ["--data-root", str(corpus), "--work-dir", str(tmp_path), "--cfg-options", "train_dataloader.num_workers=0"]
    assert follower.follow(lambda: main(["train", config, *options])), capsys.readouterr().err
    assert "checkpoint: none was saved" in capsys.readouterr().out
    found = {name for name in follower.modules if name.startswith(("cli/", "engine/"))}
    assert found == listed("A config: command line to runner")
    assert len(found) <= 14
