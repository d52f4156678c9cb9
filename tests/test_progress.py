"""Progress bars: on the stderr of a terminal, never in a pipe."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import suppress

import pytest

from karsl import progress

SCRIPT = """
from karsl.progress import bar, step_bar, tracker
assert list(tracker("counting")(iter("abc"), 3)) == ["a", "b", "c"]
with bar("packing", None) as progress:
    progress(1, 2)
with step_bar(2) as step:
    step("writing", 1)
"""


def test_a_pipe_gets_no_bar():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


@pytest.mark.skipif(os.name != "posix", reason="Windows has no pty")
def test_a_terminal_shows_the_bars_on_stderr():
    import pty

    parent, child = pty.openpty()
    env = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=child, env=env) as process:
        os.close(child)
        shown = b""
        with suppress(OSError):  # the end of a terminal; its output arrives in pieces
            while piece := os.read(parent, 1 << 16):
                shown += piece
        os.close(parent)
        assert process.stdout.read() == b""
    assert process.returncode == 0
    shown = shown.decode()
    assert all(word in shown for word in ("counting", "packing", "writing"))


@pytest.mark.parametrize(("delay", "logged"), [(-1, [r"reading: 5 in \d+\.\d s"]), (float("inf"), [])])
def test_all_records_are_yielded_and_slow_work_is_logged_once(monkeypatch, delay, logged):
    lines = []
    monkeypatch.setattr(progress, "_DELAY_S", delay)
    monkeypatch.setattr(progress, "print_log", lambda text, **options: lines.append(text))
    for records in (range(5), iter(range(5))):
        lines.clear()
        assert list(progress.track(records, "reading", interval=2)) == [0, 1, 2, 3, 4]
        assert len(lines) == len(logged)
        assert all(map(re.fullmatch, logged, lines))
