"""Workflow files run targets of the Makefile that exist, on the versions that are promised; citation and version agree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

import karsl

ROOT = Path(karsl.__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def jobs(path: Path) -> dict[str, dict]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]


def commands(job: dict) -> Iterator[str]:
    yield from (step["run"] for step in job["steps"] if "run" in step)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_step_is_one_that_a_developer_can_repeat(path):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {name for line in re.findall(r"^([a-z ]+):(?!=)", makefile, re.MULTILINE) for name in line.split()}
    for job in jobs(path).values():
        for command in commands(job):
            program, *words = re.sub(r" [A-Z]+='[^']*'", "", command).split()
            assert program in ("make", ".ci/run")
            assert set(words) <= targets, command


def test_every_version_of_python_that_the_classifiers_name_is_run():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    promised = set(re.findall(r"Python :: (3\.\d+)", setup["metadata"]["classifiers"]))
    text = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    assert promised <= set(re.findall(r'"(3\.\d+)"', text))


def test_every_job_has_a_time_limit():
    assert [name for path in WORKFLOWS for name, job in jobs(path).items() if "timeout-minutes" not in job] == []


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == karsl.__version__
    assert citation["license"] == "Apache-2.0"
    assert f"## [{karsl.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
