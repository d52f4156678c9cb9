"""The cells of every notebook run from top to bottom, as in a new session, and no output is stored.

A notebook becomes a script: lines that install packages are left out, and a line `!karsl ...` runs the command in the same
process.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))
PRELUDE = """
import shlex
from karsl.cli.main import main

def run_command(line):
    program, *words = shlex.split(line.format_map(globals()))
    assert program == "karsl" and main(words) == 0, line

"""


def code_cells(path: Path) -> list[dict]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def script_of(path: Path) -> str:
    lines = [line for cell in code_cells(path) for line in "".join(cell["source"]).splitlines()]
    commands = (re.sub(r"^!(.*)$", lambda found: f"run_command({found[1]!r})", line) for line in lines)
    return PRELUDE + "\n".join(line for line in commands if not line.startswith("%pip")) + "\n"


def test_there_is_a_notebook_for_each_task():
    assert [path.stem for path in NOTEBOOKS] == ["add_a_corpus", "look_at_data", "train", "training_loops"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_cells_of_a_notebook_run_in_order(path, tmp_path):
    script = tmp_path / f"{path.stem}.py"
    script.write_text(script_of(path), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, f"{path.name}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_stores_no_output(path):
    assert [cell for cell in code_cells(path) if cell["outputs"] or cell["execution_count"] is not None] == []
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    identifiers = [cell["id"] for cell in content["cells"]]
    assert len(set(identifiers)) == len(identifiers)
