"""Packing survives a kill, a full disk and another writer: nothing half written appears, and the same call resumes."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from karsl.errors import PackError
from karsl.io.atomic import exclusive_lock
from karsl.io.sources import FunctionSource
from karsl.pack.manifest import Manifest
from karsl.pack.transaction import STAGING_FOLDER
from karsl.pack.verify import verify_pack
from karsl.pack.write import pack_clips
from tests.pack import packed_clips
from tests.pack.packed_clips import NumberedClips, make_source

SHARD_BYTES = 40_000
LONG = os.environ.get("KARSL_LONG_TESTS") == "1"


def start_packing(out: Path, *, count: int = 20, shard_bytes: int = SHARD_BYTES, workers: int = 0) -> subprocess.Popen:
    command = [sys.executable, packed_clips.__file__, str(out), str(count), str(shard_bytes), str(workers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_after(process: subprocess.Popen, blocks: int) -> None:
    """Kill a packer after it has reported some blocks; its workers, if any, must end by themselves."""
    for _ in range(blocks):
        if not process.stdout.readline():
            break
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=300)
    assert not alive, "workers outlive the packer"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_packer_killed_repeatedly_resumes_to_the_same_files(tmp_path, same_content, workers):
    out, finished = tmp_path / "killed", []
    for _ in range(3):
        kill_after(start_packing(out, workers=workers), blocks=3)
        assert not out.exists(), "an unfinished pack must not be there"
        finished.append(set(json.loads((tmp_path / ".killed.packing" / "journal.json").read_text())["done"]))
    assert finished[0] <= finished[1] <= finished[2]
    done = pack_clips(make_source(20), out, shard_bytes=SHARD_BYTES)
    assert done.reused_shards == len(finished[-1]) > 1
    pack_clips(make_source(20), tmp_path / "undisturbed", shard_bytes=SHARD_BYTES)
    same_content(out, tmp_path / "undisturbed")


@pytest.mark.skipif(not LONG, reason="20,000 clips, ten kills: KARSL_LONG_TESTS=1")
def test_20000_clips_killed_ten_times_at_random_moments(tmp_path, same_content):
    out, rng, kills = tmp_path / "killed", random.Random(0), 0
    while kills < 10:
        process = start_packing(out, count=20_000, shard_bytes=4 << 20, workers=2)
        process.stdout.readline()  # begun
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=rng.uniform(0, 0.8))
        kills += 1
        process.kill()
        process.communicate()
        assert not out.exists(), "an unfinished pack must not be there"
    pack_clips(make_source(20_000), out, shard_bytes=4 << 20)
    pack_clips(make_source(20_000), tmp_path / "undisturbed", shard_bytes=4 << 20, workers=2)
    same_content(out, tmp_path / "undisturbed")


def test_what_another_plan_left_is_not_used(tmp_path, same_content):
    out = tmp_path / "pack"
    kill_after(start_packing(out), blocks=4)
    changed = NumberedClips(20, fingerprint="files of another time", records=make_source(20).records)
    assert pack_clips(changed, out, shard_bytes=SHARD_BYTES).reused_shards == 0


def test_a_shard_truncated_between_runs_is_written_again(tmp_path, same_content):
    out = tmp_path / "pack"
    kill_after(start_packing(out), blocks=4)
    first = tmp_path / ".pack.packing" / "frames-00000.npy"
    os.truncate(first, 1000)
    pack_clips(make_source(20), out, shard_bytes=SHARD_BYTES)
    assert verify_pack(out) == []


def test_an_error_keeps_finished_shards_for_the_next_run(tmp_path):
    source, out = make_source(20), tmp_path / "pack"

    def interrupt(done: int, total: int) -> None:
        if done > 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_clips(source, out, shard_bytes=SHARD_BYTES, progress=interrupt)
    assert not out.exists()
    assert not list((tmp_path / ".pack.packing").glob("*.part"))
    assert pack_clips(source, out, shard_bytes=SHARD_BYTES).reused_shards >= 3


def test_clips_made_in_python_are_never_reused_from_an_earlier_reader(tmp_path):
    """A reader may have changed without notice, so its earlier shards are not reused."""
    out, of, unfinished = tmp_path / "pack", make_source(20), tmp_path / ".pack.packing"

    def read(record: dict, scale: float = 1.0) -> np.ndarray:
        if record["clip_id"] == "clip 15" and scale == 1:
            shutil.copytree(unfinished, tmp_path / "killed")
            raise ValueError("the reader is wrong")
        return of.read(record) * np.float32([scale, scale, scale, 1])

    def source(scale: float) -> FunctionSource:
        return FunctionSource(of.metainfo, of.skeleton, of.records, partial(read, scale=scale))

    with pytest.raises(ValueError, match="the reader is wrong"):
        pack_clips(source(1.0), out, shard_bytes=SHARD_BYTES)
    assert not unfinished.exists()
    (tmp_path / "killed").rename(unfinished)  # as a kill leaves it
    assert len(json.loads((unfinished / "journal.json").read_text())["done"]) > 2
    done = pack_clips(source(0.5), out, shard_bytes=SHARD_BYTES)
    assert done.reused_shards == 0
    pack_clips(source(0.5), tmp_path / "other", shard_bytes=SHARD_BYTES)
    for path in (tmp_path / "other").glob("*.npy"):
        assert (out / path.name).read_bytes() == path.read_bytes()


def test_a_pack_is_valid_while_clips_are_being_added_and_afterwards(pack):
    before, more = Manifest.read(pack), make_source(20, first=20)

    def interrupt(done: int, total: int) -> None:
        assert (Manifest.read(pack), verify_pack(pack)) == (before, [])
        if done > 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_clips(more, pack, mode="append", shard_bytes=SHARD_BYTES, progress=interrupt)
    assert (Manifest.read(pack), verify_pack(pack)) == (before, [])
    assert pack_clips(more, pack, mode="append", shard_bytes=SHARD_BYTES).reused_shards >= 2
    assert Manifest.read(pack).num_clips == 40
    assert verify_pack(pack) == []
    assert not (pack / STAGING_FOLDER).exists()


def test_a_second_packer_of_one_folder_is_rejected_in_one_line(source, tmp_path):
    held = "import sys; from pathlib import Path; from karsl.io.atomic import exclusive_lock\n"
    held += "with exclusive_lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", held, str(tmp_path / "pack")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(PackError, match="another process is writing .*pack; wait until it is done, or end it"):
            pack_clips(source, tmp_path / "pack")
        other.kill()
    pack_clips(source, tmp_path / "pack")
    with exclusive_lock(tmp_path / "pack"):
        pass


def test_a_full_disk_is_one_line_and_the_pack_resumes_when_there_is_room(source, tmp_path, same_content):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        (disk / "other").write_bytes(bytes(150_000))
        with pytest.raises(
            PackError, match=r"no room left for .* \(No space left on device\); free space .* finished shards are kept"
        ):
            pack_clips(source, disk / "pack", shard_bytes=SHARD_BYTES)
        assert not (disk / "pack").exists()
        (disk / "other").unlink()
        done = pack_clips(source, disk / "pack", shard_bytes=SHARD_BYTES)
        assert done.reused_shards >= 1
        pack_clips(source, tmp_path / "undisturbed", shard_bytes=SHARD_BYTES)
        same_content(disk / "pack", tmp_path / "undisturbed")
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_size_limit_is_reported_like_a_full_disk(tmp_path, workers):
    resource = pytest.importorskip("resource")
    script = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))
from karsl.errors import PackError
from tests.pack.packed_clips import make_source
from karsl.pack.write import pack_clips
if __name__ == "__main__":
    try:
        pack_clips(make_source(20), sys.argv[1], shard_bytes=0, workers={workers})
    except PackError as error:
        print(error)
"""
    assert resource
    path = tmp_path / "script.py"
    path.write_text(script)
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, path, tmp_path / "pack"], capture_output=True, text=True, env=env, check=False)
    assert "no room left for" in done.stdout, done.stderr
    assert "File too large" in done.stdout
    assert {p.name for p in tmp_path.iterdir()} <= {"script.py", ".pack.lock"}  # filelock 3.24 removes its file


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows sends no signal to a group")
def test_an_interrupt_while_workers_import_is_reported_only_by_their_parent(tmp_path):
    (tmp_path / "script.py").write_text(
        """
import sys, time
from pathlib import Path
from karsl.pack.build import write_blocks
if __name__ == "__mp_main__":
    Path(sys.argv[1]).touch()
    time.sleep(600)  # its parent ends it
if __name__ == "__main__":
    try:
        list(write_blocks(iter([("name", None)]), print, workers=1))
    except KeyboardInterrupt:
        print("interrupted")
"""
    )
    process = subprocess.Popen(
        [sys.executable, tmp_path / "script.py", tmp_path / "importing"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )
    while not (tmp_path / "importing").exists() and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=300) == ("interrupted\n", "")


class EndsItsProcess(NumberedClips):
    def read(self, record):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_reported_and_does_not_hang(tmp_path):
    source = EndsItsProcess(3, records=make_source(3).records)
    with pytest.raises(PackError, match=r"a worker ended with status -9 .*fewer --workers"):
        pack_clips(source, tmp_path / "pack", workers=1)


def test_a_journal_that_cannot_be_read_is_an_error_and_stays(source, pack):
    journal = pack / STAGING_FOLDER / "journal.json"
    journal.mkdir(parents=True)
    with pytest.raises(OSError, match="journal.json"):
        pack_clips(source, pack, mode="append")
    assert journal.exists()


def test_a_move_interrupted_by_a_kill_is_completed_by_the_next_writer(source, pack, tmp_path, same_content):
    more = make_source(9, first=20)
    pack_clips(more, tmp_path / "copy", shard_bytes=SHARD_BYTES)
    before = {p.name: p.read_bytes() for p in pack.iterdir()}
    pack_clips(more, pack, mode="append", shard_bytes=SHARD_BYTES)
    after = {p.name: p.read_bytes() for p in pack.iterdir()}
    new = sorted(after.keys() - before.keys())
    folder = pack / STAGING_FOLDER
    for moved in range(len(new) + 3):  # the state on the disk after each step of the move
        steps = [*new, "annotations.json", "manifest.json"]
        folder.mkdir()
        for name in new:
            (pack / name).unlink(missing_ok=True)
        for name, data in before.items():
            (pack / name).write_bytes(data)
        for position, name in enumerate(steps):
            ((pack if position < moved else folder) / name).write_bytes(after[name])
        (folder / "journal.json").write_text(json.dumps({"plan": "x", "done": {}, "commits": []}))
        assert pack_clips(more, pack, mode="append").added == 0
        assert {p.name: p.read_bytes() for p in pack.iterdir()} == after
    assert Manifest.read(pack).num_clips == 29
    assert verify_pack(pack) == []
