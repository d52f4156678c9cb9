import errno
import os
import signal
import stat
import subprocess
import sys

import pytest

from karsl.io import atomic_path
from karsl.io.atomic import atomic_output

WRITER = """
import sys
from karsl.io import atomic_path
with atomic_path(sys.argv[1]) as part:
    part.write_text('half')
    print('written', flush=True)
    sys.stdin.read()
"""


def test_the_file_appears_complete_and_no_other_file_stays(tmp_path):
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


def test_the_first_error_is_the_one_that_is_raised(tmp_path):
    folder = tmp_path / "folder"

    def lose_the_folder():
        with atomic_path(folder / "x.txt") as part:
            part.write_text("half")
            folder.rename(tmp_path / "moved")
            folder.touch()  # what is left cannot be removed: its folder is a file
            raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        lose_the_folder()


def test_two_writers_of_one_file_do_not_share_what_is_unfinished(tmp_path):
    """As two nodes of one file system whose processes have one number."""
    path = tmp_path / "x.txt"
    with atomic_path(path) as first:
        first.write_text("first")
        with atomic_path(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_synced_can_be_written_as_windows_demands(tmp_path, monkeypatch):
    fcntl, fsync, modes = pytest.importorskip("fcntl"), os.fsync, []

    def watched(fd: int) -> None:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            modes.append(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", watched)
    with atomic_path(tmp_path / "x.txt") as part:
        part.write_text("x")
    with atomic_output(tmp_path / "y.txt", is_file=True) as part:
        part.write_text("y")
    assert modes == [os.O_RDWR, os.O_RDWR]


@pytest.mark.parametrize(("number", "raises"), [(errno.EIO, True), (errno.EINVAL, False), (errno.EBADF, False)])
def test_a_disk_error_of_a_folder_is_raised_and_a_system_that_flushes_no_folders_is_no_error(
    tmp_path, monkeypatch, number, raises
):
    fsync = os.fsync

    def fail_on_folders(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(fd)

    def write() -> None:
        with atomic_path(tmp_path / "x.txt") as part:
            part.write_text("x")

    monkeypatch.setattr(os, "fsync", fail_on_folders)
    if raises:
        with pytest.raises(OSError, match="Input/output error"):
            write()
    else:
        write()
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


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
