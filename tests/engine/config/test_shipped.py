"""Shipped configs are found from anywhere, in a clone and where pip has put them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from karsl.engine import load_config
from karsl.engine.config.shipped import shipped_configs
from karsl.errors import ConfigError, DatasetNotFoundError

ROOT = Path(__file__).parents[3]
OWN = """
from mmengine.config import read_base

with read_base():
    from karsl.configs.{} import *

train_dataloader.merge(dict(batch_size=7))
"""


def own(folder: Path, base: str = "karsl100_loso_s03") -> Path:
    path = folder / "own.py"
    path.write_text(OWN.format(base), encoding="utf-8")
    return path


def test_a_config_that_lies_anywhere_starts_from_a_shipped_one(tmp_path):
    cfg = load_config(own(tmp_path))
    assert (cfg.train_dataloader.batch_size, cfg.test_dataloader.dataset.filter_cfg.signers) == (7, ("03",))


def test_a_shipped_config_is_found_from_another_folder_unless_one_lies_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config("configs/demo.py").work_dir == "demo_out/train"
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "demo.py").write_text("work_dir = 'mine'\n", encoding="utf-8")
    assert load_config("configs/demo.py").work_dir == "mine"


def test_a_name_that_is_not_shipped_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetNotFoundError, match=r"configs/dmo\.py' does not exist"):
        load_config("configs/dmo.py")
    with pytest.raises(ConfigError, match=r"dmo\.py not found"):
        load_config(own(tmp_path, "dmo"))


def test_what_pip_installs_finds_its_configs(tmp_path):
    pytest.importorskip("setuptools", reason="a wheel is built without asking the network")
    source, prefix = tmp_path / "source", tmp_path / "prefix"
    for name in ("karsl", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--ignore-installed"]
    subprocess.run([*pip, "--prefix", str(prefix), str(source)], check=True, capture_output=True)
    [packages] = prefix.glob("**/site-packages")
    script = f"from karsl.engine import *; print(load_config({str(own(tmp_path))!r}).train_dataloader.batch_size)\n"
    script += "from karsl.engine.config.shipped import shipped_configs; print(shipped_configs())"
    env = {**os.environ, "PYTHONPATH": str(packages)}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    folder = prefix / "share" / "karsl" / "configs"
    assert done.stdout.split() == ["7", str(folder.resolve())]
    assert names_below(folder) == names_below(shipped_configs())


def names_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}
