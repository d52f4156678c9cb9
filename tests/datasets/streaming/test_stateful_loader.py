"""torchdata's StatefulDataLoader, an optional dependency: real processes, killed and resumed bitwise."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torchdata.stateful_dataloader", reason="torchdata is not installed")
SCRIPT = Path(__file__).with_name("stateful_run.py")
_SPEC = importlib.util.spec_from_file_location("stateful_run", SCRIPT)
stateful_run = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(stateful_run)


def run(*arguments: object, killed: bool = False) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == (-signal.SIGKILL if killed else 0), done.stderr[-2000:]


def batches(folder: Path) -> list:
    return [json.loads(line) for line in (folder / "batches.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("source", "workers"), [("stream", 2), *([("sampler", 2), ("stream", 0)] if os.environ.get("KARSL_LONG_TESTS") else [])]
)
def test_a_killed_process_resumes_with_the_next_batch(stores, tmp_path, source, workers):
    complete, resumed = tmp_path / "complete", tmp_path / "resumed"
    stateful_run.main(str(stores / "tars"), complete, source, 0, 0)
    run(stores / "tars", resumed, source, workers, 3, killed=True)
    run(stores / "tars", resumed, source, workers, 0)
    assert len(batches(complete)) == 8
    assert batches(complete) == batches(resumed)
