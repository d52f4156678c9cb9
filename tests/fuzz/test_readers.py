"""No damaged file crashes a reader, hangs it, exhausts memory or ends in an error that is none of karsl.

The same few inputs are read in every run. With KARSL_LONG_TESTS=1, each reader gets 20,000;
KARSL_FUZZ_FIRST skips the first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FEW, MANY = 12, 20_000

pytest.importorskip("resource")
for library in ("numba", "openpyxl", "pyarrow", "pose_format"):
    pytest.importorskip(library)


def fuzz(*arguments: object) -> list[dict]:
    """Run readers in a process of its own; return their reports."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.run", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def failures(reports: list[dict]) -> list[str]:
    return [
        f"{report['reader']} --first {failure['number']} --inputs 1: {failure['error']} ({place}, {failure['count']} times)"
        for report in reports
        for place, failure in report["failures"].items()
    ]


def test_every_reader_rejects_damaged_files_in_one_sentence():
    if os.environ.get("KARSL_LONG_TESTS"):
        reports = fuzz("--inputs", MANY, "--first", os.environ.get("KARSL_FUZZ_FIRST", "0"))
    else:
        reports = fuzz("--inputs", FEW)
    found = failures(reports)
    assert len(reports) > 30
    assert found == [], f"{len(found)} places; python -m tests.fuzz.run READER --first N --inputs 1\n" + "\n".join(found)


FAULTY = """
import ctypes, json, os, signal, sys, time
import tests.fuzz.run as runner

def make(folder):
    (folder / "file").write_bytes(b"sound")
    return folder / "file"

def read(path):
    if path.read_bytes() != b"sound":
        FAULT

runner.SECONDS = 1
print(json.dumps(runner.run(runner.Reader("faulty", make, read), 0, 3)))
"""


@pytest.mark.parametrize(
    ("fault", "place"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("ctypes.string_at(8)", "SIGSEGV"),
        ("signal.pause()", "Hang"),
        ("bytearray(2 << 30)", "MemoryError"),
        ("[][1]", "IndexError"),
    ],
    ids=["signal", "memory outside", "hang", "2 GiB", "foreign error"],
)
def test_crashes_hangs_memory_and_foreign_errors_are_found(tmp_path, fault, place):
    script = tmp_path / "faulty.py"
    script.write_text(FAULTY.replace("FAULT", fault), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])["failures"]
    assert [name.partition(" at ")[0] for name in found] == [place]
    assert sum(failure["count"] for failure in found.values()) == 3
