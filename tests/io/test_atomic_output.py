"""A conversion that is killed leaves nothing for ever, and two do not write one target."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from filelock import Timeout

from karsl.datasets.index.cache import open_or_build
from karsl.errors import ConfigError, PackError
from karsl.formats import convert, open_clips
from karsl.io.atomic import atomic_output, exclusive_lock
from karsl.io.remote_cache import FileCache

CONVERT = """
import sys
from karsl.io.sources import FunctionSource
from karsl.formats import convert, open_clips

source = open_clips(sys.argv[1])
def read(record):
    if record is source.records[-1]:
        print('half', flush=True)
        sys.stdin.read()
    return source.read(record)
convert(FunctionSource(source.metainfo, source.skeleton, source.records, read), sys.argv[2], sys.argv[3])
"""


@pytest.fixture
def convert_halfway():
    """`convert_halfway(source, out, format)` starts a process that stops at the last clip."""
    running = []

    def start(*arguments) -> subprocess.Popen:
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        running.append(subprocess.Popen([sys.executable, "-c", CONVERT, *map(str, arguments)], **pipes))
        assert running[-1].stdout.readline() == "half\n"
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_target_relative_to_the_current_folder_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mkdtemp = tempfile.mkdtemp
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **options: os.path.abspath(mkdtemp(**options)))  # as since Python 3.12
    with atomic_output(Path("out")) as folder:
        (folder / "a").touch()
    assert names(tmp_path / "out") == ["a"]


@pytest.mark.parametrize(("format", "name"), [("annotation", "out"), ("spoter", "out.csv")])
def test_the_ruins_of_a_killed_conversion_go_with_the_next(corpus, tmp_path, convert_halfway, format, name):
    out, source = tmp_path / name, open_clips(corpus)
    first = convert_halfway(corpus, out, format)
    with pytest.raises(ConfigError, match="another process is writing .*out"):
        convert(source, out, format)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert len(names(tmp_path)) == 1, "a kill leaves its part"
    convert(source, tmp_path / f"{name}.2", format)
    assert len(names(tmp_path)) == 2, "which may be another target's"
    assert convert(source, out, format).num_clips == 84
    assert names(tmp_path) == [name, f"{name}.2"]
    again = [open_clips(path, format=format) for path in (out, tmp_path / f"{name}.2")]
    assert again[0].records == again[1].records


def test_folders_that_only_look_alike_stay(tmp_path):
    for name in (".out.abcdefgh.part", ".out.b.abcdefgh.part", "out.part"):
        (tmp_path / name).mkdir()
    (tmp_path / ".out.b.abcdefgh.part" / "lock").touch()
    with atomic_output(tmp_path / "out") as part:
        (part / "a").touch()
    assert names(tmp_path) == [".out.abcdefgh.part", ".out.b.abcdefgh.part", "out", "out.part"]
    assert names(tmp_path / "out") == ["a"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads folders of every user")
def test_the_folder_of_another_user_is_left_alone(tmp_path):
    other = tmp_path / ".out.abcdefgh.part"
    other.mkdir()
    (other / "lock").touch()
    other.chmod(0)  # as it looks to this user
    try:
        with atomic_output(tmp_path / "out") as part:
            (part / "a").touch()
        assert names(tmp_path) == [".out.abcdefgh.part", "out"]
    finally:
        other.chmod(0o700)


def test_a_file_system_without_locks_is_one_error_and_nothing_is_left(tmp_path, monkeypatch):
    def fail(lock) -> None:
        raise Timeout(lock.lock_file)

    monkeypatch.setattr("karsl.io.atomic.FileLock.acquire", fail)
    with pytest.raises(ConfigError, match="out: its folder does not support file locks"), atomic_output(tmp_path / "out"):
        pass
    assert names(tmp_path) == []


@pytest.fixture(params=[errno.ENOLCK, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def no_locks(monkeypatch, request):
    """As on some network file systems."""

    def fail(fd: int, operation: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", fail)


@pytest.mark.usefixtures("no_locks")
def test_an_error_of_locks_is_one_sentence_for_every_writer_and_nothing_is_left(tmp_path):
    (tmp_path / "out").mkdir()
    with (
        pytest.raises(ConfigError, match="new: its folder does not support file locks"),
        atomic_output(tmp_path / "out" / "new"),
    ):
        pass
    assert names(tmp_path / "out") == []
    sentence = r"its file system has no file locks \(.*\); choose another folder"
    with pytest.raises(PackError, match=sentence), exclusive_lock(tmp_path / "pack"):
        pass
    with pytest.raises(ConfigError, match="its file system has no file locks .*; name a folder of another file system"):
        FileCache(tmp_path / "cache").get("x://remote/a", fetch=lambda url, target: target.write_bytes(b"1"))


@pytest.mark.usefixtures("no_locks")
def test_an_index_is_built_without_locks(tmp_path):
    records, _ = open_or_build("ab" * 16, lambda: ([{"label": 3}], {}), cache=tmp_path)
    assert records[0] == {"label": 3}


def test_an_error_leaves_nothing(tmp_path):
    def fail_half_way():
        with atomic_output(tmp_path / "out.csv", is_file=True) as part:
            part.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert names(tmp_path) == []
