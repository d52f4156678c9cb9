"""Whatever happens to an index, a start returns the right data or one clear error: real processes, real kills."""

from __future__ import annotations

import importlib.util
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgpack
import numpy as np
import pytest

from karsl.datasets.index.cache import CacheDir
from karsl.datasets.index.reader import HEADER_BYTES, IndexHeader, checksum

SCRIPT = Path(__file__).with_name("faults.py")
spec = importlib.util.spec_from_file_location("faults", SCRIPT)
faults = importlib.util.module_from_spec(spec)
spec.loader.exec_module(faults)
ROOT = os.name == "posix" and os.geteuid() == 0


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def launch(folder, count, *more, limit=None, kill_at="", hold_at=""):
    command = [sys.executable, str(SCRIPT), str(folder), str(count), *map(str, more)]
    preexec = None if limit is None else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    env = {**os.environ, "KILL_AT": kill_at, "HOLD_AT": hold_at}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=preexec, env=env)


def outcome(process) -> tuple[str, str]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    *log, last = out.split("\n")[:-1]
    return last, "\n".join(log)


def index_files(folder) -> list[str]:
    # Whether the file of a lock stays after its release depends on the version of filelock.
    return sorted(path.suffix for path in folder.iterdir() if path.suffix != ".lock")


def test_the_second_start_maps_and_parses_nothing(folder, tmp_path):
    log = tmp_path / "log"
    for _ in range(3):
        assert faults.is_right(*faults.start(folder, 100, log), 100)
    assert len(log.read_text().split()) == 1
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.joinpath(faults.FINGERPRINT + ".idx").stat().st_mode & 0o777 == 0o600


def test_of_eight_processes_at_once_one_builds_and_all_are_right(folder, tmp_path):
    log = tmp_path / "log"
    processes = [launch(folder, 20_000, log) for _ in range(8)]
    assert [outcome(process)[0] for process in processes] == ["right file"] * 8
    assert len(log.read_text().split()) == 1
    assert index_files(folder) == [".idx"]


def test_a_builder_killed_at_any_moment_leaves_nothing_that_is_used(folder):
    moments = ("0", "25000", "59999", "before fsync", "before replace", "after replace")
    for moment in moments:
        process = launch(folder, 60_000, kill_at=moment)
        process.communicate(timeout=300)
        assert process.returncode == -signal.SIGKILL
        complete = moment == "after replace"
        assert bool(list(folder.glob("*.idx"))) == complete
    assert faults.is_right(*faults.start(folder, 60_000), 60_000)


def test_incomplete_files_of_killed_builders_are_cleaned_by_the_next(folder):
    for moment in ("before replace", "59999"):
        launch(folder, 60_000, kill_at=moment).communicate(timeout=300)
    assert index_files(folder) == [".tmp", ".tmp"] or index_files(folder) == [".tmp"]
    faults.start(folder, 10, name="cd" * 16)  # of another index, whose lock is another
    assert index_files(folder) == [".idx"]


def test_builders_killed_from_outside_at_random_moments_leave_the_right_data(folder):
    for delay in np.random.default_rng(0).uniform(0, 0.5, 2):
        process = launch(folder, 60_000)
        assert process.stdout.readline() == "ready\n"
        with suppress(subprocess.TimeoutExpired):
            process.wait(delay)  # the moment of the kill
        process.kill()
        process.communicate()
        assert faults.is_right(*faults.start(folder, 60_000), 60_000)
        for path in folder.glob("*.idx"):
            path.unlink()


def test_a_process_that_waits_takes_over_from_a_killed_builder(folder):
    first = launch(folder, 60_000, hold_at="25000")
    assert [first.stdout.readline() for _ in range(2)] == ["ready\n", "holding\n"]
    second = launch(folder, 2000)
    assert second.stdout.readline() == "ready\n"
    first.kill()
    first.communicate()
    assert second.communicate(timeout=300)[0].splitlines()[-1] == "right file"
    assert index_files(folder) == [".idx"]


@pytest.mark.parametrize("offset", [0, 20, 4096, 5000, -1, -20])
def test_a_damaged_index_is_rebuilt_or_reported_and_then_rebuilt(folder, offset):
    faults.start(folder, 100)
    path = folder / f"{faults.FINGERPRINT}.idx"
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)
    records, extra = faults.start(folder, 100)
    try:
        assert faults.is_right(records, extra, 100)
    except ValueError as error:
        assert "start again" in str(error)  # noqa: PT017 - damage among the records shows when they are read
    assert faults.is_right(*faults.start(folder, 100), 100)


def test_a_truncated_index_is_rebuilt(folder):
    faults.start(folder, 100)
    path = folder / f"{faults.FINGERPRINT}.idx"
    for size in (0, 100, 4096, path.stat().st_size - 1):
        os.truncate(path, size)
        assert faults.is_right(*faults.start(folder, 100), 100)


def test_a_full_disk_ends_in_memory_of_the_run_with_the_right_data(tmp_path):
    if not ROOT:
        pytest.skip("mounting a small disk needs root")
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(small)], check=False).returncode:
        pytest.skip("this machine does not let us mount")
    try:
        result, err = outcome(launch(small, 60_000))
        assert (result, index_files(small)) == ("right memory", [])
        assert "No space left on device" in err
        (small / "fill").write_bytes(b"\0" * (1 << 19))
        assert outcome(launch(small, 2000))[0] == "right file"
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_read_only_disk_ends_in_memory_of_the_run(tmp_path):
    if not ROOT:
        pytest.skip("mounting needs root")
    folder = tmp_path / "ro"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m,mode=700", "tmpfs", str(folder)], check=False).returncode:
        pytest.skip("this machine does not let us mount")
    try:
        result, err = outcome(launch(folder, 100))
        assert result == "right memory"
        assert "Read-only file system" in err
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_limit_on_file_sizes_gives_one_clear_error(folder):
    process = launch(folder, 20_000, limit=100_000)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "File too large" in err.splitlines()[-1]
    assert index_files(folder) == []


@pytest.mark.parametrize("kind", ["a file in its folder", "below a file"])
def test_a_folder_that_cannot_be_made_ends_in_memory_of_the_run(tmp_path, kind):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" if kind.startswith("a file") else tmp_path / "file" / "cache"
    records, extra = faults.start(folder, 100)
    assert faults.is_right(records, extra, 100)
    assert records.path is None


def test_maps_stay_right_when_the_input_changes_while_running(folder):
    old, extra = faults.start(folder, 100, salt=1, name="aa" * 16)
    new, _ = faults.start(folder, 100, salt=2, name="bb" * 16)
    (folder / f"{'aa' * 16}.idx").unlink()
    assert faults.is_right(old, extra, 100, salt=1)
    assert new[0]["clip_id"] == "clip 0 2"


@pytest.mark.parametrize("what", ["another owner", "others may write", "a link", "a pipe"])
def test_an_index_that_others_could_have_planted_is_never_used(folder, tmp_path, what):
    if what == "another owner" and not ROOT:
        pytest.skip("giving a file away needs root")
    faults.start(folder, 50, salt=666)
    path = folder / f"{faults.FINGERPRINT}.idx"
    if what == "another owner":
        os.chown(path, 12345, -1)
    elif what == "others may write":
        path.chmod(0o622)
    else:
        path.rename(tmp_path / "evil.idx")
        os.mkfifo(path) if what == "a pipe" else path.symlink_to(tmp_path / "evil.idx")
    records, extra = faults.start(folder, 50)
    assert faults.is_right(records, extra, 50)
    assert path.stat().st_uid == os.geteuid()


def test_a_folder_that_others_share_gets_a_private_one_inside(tmp_path):
    shared = tmp_path / "team"
    shared.mkdir()
    shared.chmod(0o777)
    records, _ = faults.start(shared, 10)
    assert records.path.parent == shared / f"karsl-{os.geteuid()}"
    if ROOT:
        os.chown(records.path.parent, 12345, -1)
        again, extra = faults.start(shared, 10)
        assert again.path is None
        assert faults.is_right(again, extra, 10)


def test_the_least_recently_used_are_deleted_first_but_never_one_in_use(folder):
    cache = CacheDir(folder)
    held = {}
    for i in range(5):
        name = f"{i}{i}" * 16
        held[i], _ = faults.start(folder, 10, name=name)
        os.utime(cache.path_of(name), (i, i))
    other = launch(folder, 10)  # uses FINGERPRINT and ends
    assert outcome(other)[0] == "right file"
    os.utime(cache.path_of(faults.FINGERPRINT), (9, 9))
    del held[1], held[2]
    cache.prune(cache.path_of("44" * 16), max_files=2)
    assert sorted(path.name[0] for path in folder.glob("*.idx")) == ["0", "3", "4"]


def test_the_user_cache_folder_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert CacheDir().path == tmp_path / "karsl"


def test_what_make_records_raises_passes_through(folder):
    def missing():
        raise FileNotFoundError("no annotation file 'a.json'")

    with pytest.raises(FileNotFoundError, match=r"a\.json"):
        faults.open_or_build(faults.FINGERPRINT, missing, cache=folder)
    assert faults.is_right(*faults.start(folder, 10), 10)


@pytest.mark.parametrize(
    "meta",
    [
        5,
        {"columns": {}},
        {"columns": {"label": []}, "missing": {}, "extra": b"\x80"},
        {"columns": {}, "missing": {}, "extra": b"\xc1"},
        {"columns": {}, "missing": {}, "extra": msgpack.packb(5)},
    ],
)
def test_an_index_with_right_checksums_and_other_values_is_built_again(folder, meta):
    faults.start(folder, 5)
    path = folder / f"{faults.FINGERPRINT}.idx"
    content = path.read_bytes()
    header = IndexHeader.unpack(content[:HEADER_BYTES], len(content), "x")
    section = msgpack.packb(meta)
    content = content[: header.meta_offset] + section
    header = replace(header, meta_bytes=len(section), file_bytes=len(content), meta_hash=checksum(section))
    path.write_bytes(header.pack() + content[HEADER_BYTES:])
    assert faults.is_right(*faults.start(folder, 5), 5)
    assert path.read_bytes() != header.pack() + content[HEADER_BYTES:]
