import os
import signal
import subprocess
import sys

import pytest

from karsl.storage import atomic_path

WRITER = """
import sys
from karsl.storage import atomic_path
with atomic_path(sys.argv[1]) as part:
    part.write_text('half')
    print('written', flush=True)
    sys.stdin.read()
"""


def test_the_file_appears_whole_and_nothing_else_stays(tmp_path):
    with atomic_path(tmp_path / "new" / "x.txt") as part:
        part.write_text("whole")
        assert not (tmp_path / "new" / "x.txt").exists()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["x.txt"]


def test_an_error_keeps_the_old_file(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")

    def fail_half_way():
        with atomic_path(path) as part:
            part.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "written\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    process.stdin.close()
    assert path.read_text() == "old"
