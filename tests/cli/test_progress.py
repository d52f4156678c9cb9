"""Bars of the commands: on a terminal's stderr, never in what a pipe gets."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

import pytest

SCRIPT = """
from karsl.progress import bar, step_bar, tracker
assert list(tracker("counting")(iter("abc"), 3)) == ["a", "b", "c"]
with bar("packing", None) as tell:
    tell(1, 2)
with step_bar(2) as say:
    say("writing", 1)
"""


def test_what_is_piped_has_no_bar():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


@pytest.mark.skipif(os.name != "posix", reason="terminals of Windows are others")
def test_a_terminal_sees_the_bars_on_stderr():
    import pty

    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=theirs, env=env) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # so a terminal ends, whose pieces come when the system likes
            while piece := os.read(ours, 1 << 16):
                shown += piece
        os.close(ours)
        assert process.stdout.read() == b""
    assert process.returncode == 0
    shown = shown.decode()
    assert all(word in shown for word in ("counting", "packing", "writing"))
