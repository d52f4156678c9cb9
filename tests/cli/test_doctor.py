"""`karsl doctor`: a report that survives a broken environment."""

from __future__ import annotations

import json
import sys
from collections import namedtuple
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import karsl
from karsl.cli import doctor
from karsl.cli.doctor import EXTRAS, Check, check_environment
from karsl.cli.main import main

OF_DEVELOPERS = {"bench", "dev", "docs", "lint", "test"}
ENGINES = {"mmengine", "onedl"}


def report() -> dict[str, Check]:
    return {check.name: check for check in check_environment()}


def test_versions_and_every_extra_are_reported(capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert f"{karsl.__version__} in {Path(karsl.__file__).parent}" in text
    assert [name for name in EXTRAS if f"\n  {name} " not in text] == []
    assert [word for word in ("page map", "shared memory", "open files", "cache folder") if f"\n  {word} " not in text] == []


def test_json_has_the_lines_of_the_text(capsys):
    assert main(["doctor", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["karsl"] == karsl.__version__
    assert [check["name"] for check in content["checks"]] == list(report())
    assert all(set(check) == {"group", "name", "value", "advice"} for check in content["checks"])


def test_extras_are_those_of_setup_cfg():
    setup = ConfigParser()
    setup.read(Path(karsl.__file__).parents[1] / "setup.cfg", encoding="utf-8")
    extras = setup["options.extras_require"]
    assert set(EXTRAS) == set(extras) - OF_DEVELOPERS - ENGINES
    for name, extra in EXTRAS.items():
        lines = [line for line in extras[name].splitlines() if line and not line.startswith("#")]
        stated = [line.split(">=")[0].split("[data]")[0] for line in lines]
        assert stated == [*(f"karsl[{included}]" for included in extra.includes), *extra.libraries]


def test_a_library_that_is_not_installed_gives_its_extras_with_the_command(monkeypatch):
    def version(name: str) -> str:
        if name == "numba":
            raise PackageNotFoundError
        return "1.0"

    monkeypatch.setattr(doctor, "version", version)
    found = report()
    assert found["fast"].value == "not installed: numba"
    assert found["fast"].advice.endswith(": pip install 'karsl[fast]'")
    assert found["onnx"].value == "not installed: numba"
    assert found["viz"].value.startswith("arabic-reshaper 1.0, ")


def test_two_engines_are_a_mistake(monkeypatch):
    monkeypatch.setattr(doctor, "version", lambda name: "1.0")
    assert report()["engine"].advice.startswith("these write the same files")


def test_a_library_that_is_absent_or_broken_is_a_line_and_the_others_follow(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr("karsl.datasets.batching.uncompiled_reason", lambda: 1 // 0)
    found = report()
    assert (found["GPU"].value, found["GPU"].advice) == ("not checked", "torch is not installed")
    assert (found["compiled pass"].value, found["compiled pass"].advice[:17]) == ("failed", "ZeroDivisionError")
    assert found["cache folder"].value != "failed"


@pytest.mark.parametrize(("free", "advised"), [(64 << 20, True), (8 << 30, False)])
def test_little_shared_memory_has_a_remedy(monkeypatch, free, advised):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(free, 0, free))
    if not Path("/dev/shm").is_dir():
        pytest.skip("no /dev/shm")
    assert ("--shm-size" in report()["shared memory"].advice) == advised


@pytest.mark.parametrize(("limit", "advice"), [(256, "ulimit -n 1024"), (20_000, "enough")])
def test_a_low_limit_of_open_files_has_a_remedy(monkeypatch, limit, advice):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, max(limit, 1024)))
    assert advice in report()["open files"].advice


def test_a_page_map_that_cannot_be_read_is_explained(monkeypatch):
    monkeypatch.setattr("karsl.profiling.proc.count_addresses", lambda pid, addresses: None)
    assert report()["page map"] == Check(
        "machine", "page map", "not readable", "'karsl memory' estimates from totals whether records are shared"
    )
