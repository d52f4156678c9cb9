"""Wheel and source distribution hold the package, its types, configs and pages; the wheel works without the clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import karsl

ROOT = Path(karsl.__file__).parents[1]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory) -> Path:
    """A folder with a source distribution of the tracked files and the wheel built from it, without the network."""
    pytest.importorskip("setuptools")
    clone, out = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("dist")
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if files.returncode:
        pytest.skip("no git clone")
    for name in filter(None, files.stdout.split("\0")):
        if not name.startswith(("tests/data/", "docs/")) and (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).write_bytes((ROOT / name).read_bytes())
    build(clone, "sdist", out)
    with tarfile.open(next(out.glob("*.tar.gz"))) as archive:
        archive.extractall(clone / "unpacked", filter="data")
    build(next((clone / "unpacked").iterdir()), "wheel", out)
    return out


def build(source: Path, kind: str, out: Path) -> None:
    script = f"import sys; from setuptools.build_meta import build_{kind} as build; build(sys.argv[1])"
    result = subprocess.run([sys.executable, "-c", script, str(out)], cwd=source, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def wheel(distributions) -> zipfile.ZipFile:
    return zipfile.ZipFile(next(distributions.glob("*.whl")))


@pytest.fixture
def installed(distributions, tmp_path) -> Path:
    """The scripts of a new environment with the wheel, and the libraries of this one without its editable install."""
    environment = tmp_path / "environment"
    venv.EnvBuilder(symlinks=os.name != "nt").create(environment)
    names = {"base": str(environment), "platbase": str(environment), "installed_base": str(environment)}
    paths = sysconfig.get_paths(vars=names)
    pip = [sys.executable, "-m", "pip", "--python", paths["scripts"] + "/python", "install", "--no-index", "--no-deps", "-q"]
    result = subprocess.run([*pip, str(next(distributions.glob("*.whl")))], capture_output=True, text=True, env=ENVIRONMENT)
    if "No module named pip" in result.stderr:
        pytest.skip("this environment has no pip")
    assert result.returncode == 0, result.stderr
    # Paths in a .pth file are added as they are: .pth files in them, as that of an editable install, are not read.
    libraries = Path(sysconfig.get_path("purelib"))
    Path(paths["purelib"], "libraries.pth").write_text(str(libraries))
    for distutils in libraries.glob("distutils-*.pth"):  # of setuptools, for MMEngine where Python has no distutils any more
        shutil.copy(distutils, Path(paths["purelib"], "setuptools.pth"))
    return Path(paths["scripts"])


def test_the_wheel_holds_every_module_of_the_package(wheel):
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "karsl").rglob("*.py")}
    assert modules <= set(wheel.namelist())


def test_shipped_configs_are_the_package_karsl_configs(wheel):
    configs = {f"karsl/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "configs").rglob("*.py")}
    assert configs
    assert configs <= set(wheel.namelist())


def test_types_and_the_browse_page_are_in_the_wheel(wheel):
    names = wheel.namelist()
    assert "karsl/py.typed" in names
    scripts = {path.name for path in (ROOT / "karsl").rglob("*.js")}
    assert scripts
    assert scripts == {Path(name).name for name in names if name.endswith(".js")}


def test_nothing_else_of_the_clone_is_in_the_wheel(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"karsl"}


def test_the_source_distribution_holds_what_builds_the_wheel_and_no_tests(distributions, wheel):
    with tarfile.open(next(distributions.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    package = {name.replace("karsl/configs/", "configs/") for name in wheel.namelist() if ".dist-info/" not in name}
    assert package <= names
    assert {"LICENSE", "CHANGELOG.md", "CITATION.cff", "SECURITY.md", "setup.cfg", "setup.py", "pyproject.toml"} <= names
    assert [name for name in names if name.startswith(("tests", "docs"))] == []


def test_the_installed_wheel_runs_the_demo_without_the_clone(installed, tmp_path):
    run = {"cwd": tmp_path, "env": ENVIRONMENT, "capture_output": True, "text": True}
    where = subprocess.run([installed / "python", "-c", "import karsl; print(karsl.__path__[0])"], **run)
    assert Path(where.stdout.strip()).is_relative_to(tmp_path), where.stderr
    demo = subprocess.run([installed / "karsl", "demo", "--epochs", "1", "--out", "out"], **run)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "The demo is done." in demo.stdout
    assert (tmp_path / "out" / "predictions.json").is_file()
