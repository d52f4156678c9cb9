"""The wheel holds the package, its types, its configs and the browse page, and nothing else of the clone."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import karsl

ROOT = Path(karsl.__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """A wheel built from a copy of the tracked files, without the network."""
    pytest.importorskip("setuptools")
    clone, out = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("wheel")
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if files.returncode:
        pytest.skip("no git clone")
    for name in filter(None, files.stdout.split("\0")):
        if not name.startswith(("tests/", "docs/")) and (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).write_bytes((ROOT / name).read_bytes())
    command = [
        sys.executable,
        "-c",
        "from setuptools.build_meta import build_wheel as b; import sys; b(sys.argv[1])",
        str(out),
    ]
    result = subprocess.run(command, cwd=clone, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return zipfile.ZipFile(next(out.glob("*.whl")))


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
