"""Files are identified by their content, folders by names, sizes and times; cached hashes are used only while they hold."""

from __future__ import annotations

import os
import time
from pathlib import Path

from karsl.io.hashing import file_stats, fingerprint_files, list_files


def test_a_file_is_identified_by_its_content(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("one")
    before = file_stats(path)
    os.utime(path, (1, 1))
    assert file_stats(path) == before
    path.write_text("two")
    assert file_stats(path) != before


def test_the_hash_of_a_file_that_may_still_change_within_a_clock_tick_is_not_cached(tmp_path, monkeypatch):
    monkeypatch.setattr("karsl.io.hashing.RACY_NS", 10**15)  # however long this process waits for its turn
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    path = tmp_path / "a.json"
    path.write_text("one")
    long_ago = time.time_ns() - 10**16
    before = file_stats(path, cache)
    assert list(cache.iterdir()) == []
    os.utime(path, ns=(long_ago, long_ago))  # the change time of the inode stays fresh
    assert file_stats(path, cache) == before
    assert list(cache.iterdir()) == []


def test_a_cached_hash_saves_the_reading(tmp_path, monkeypatch):
    monkeypatch.setattr("karsl.io.hashing.RACY_NS", -1)
    path = tmp_path / "a.json"
    path.write_text("one")
    before = file_stats(path, tmp_path)
    (entry,) = tmp_path.glob("*.facts")
    assert entry.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(Path, "open", None)  # reading the content would fail now
    assert file_stats(path, tmp_path) == before
    monkeypatch.undo()
    stat = path.stat()
    while path.stat().st_ctime_ns == stat.st_ctime_ns:  # a coarse file clock ticks every 10 ms
        path.write_text("two")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same size, same time
    assert file_stats(path, tmp_path) != before
    entry.write_bytes(b"rubbish")
    assert file_stats(path, tmp_path) == file_stats(path)


def test_a_cached_hash_that_others_may_write_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr("karsl.io.hashing.RACY_NS", -1)
    path = tmp_path / "a.json"
    path.write_text("one")
    before = file_stats(path, tmp_path)
    (entry,) = tmp_path.glob("*.facts")
    entry.write_text(entry.read_text().replace(before[3], "0" * 32))
    assert file_stats(path, tmp_path)[3] == "0" * 32
    entry.chmod(0o666)
    assert file_stats(path, tmp_path) == before


def test_a_folder_is_identified_by_names_sizes_and_times(tmp_path):
    (tmp_path / "01-train").mkdir()
    clip = tmp_path / "01-train" / "0001.npz"
    clip.write_text("a")
    seen = {file_stats(tmp_path)}
    clip.write_text("ab")
    seen.add(file_stats(tmp_path))
    os.utime(clip, (1, 1))
    seen.add(file_stats(tmp_path))
    clip.rename(clip.with_name("0002.npz"))
    seen.add(file_stats(tmp_path))
    assert len(seen) == 4
    assert file_stats(tmp_path) in seen


def test_a_name_that_is_not_utf8_has_a_fingerprint(tmp_path):
    name = os.fsdecode(b"\xe9.npz")
    (tmp_path / name).write_text("a")
    (tmp_path / "b").mkdir()
    assert file_stats(tmp_path) == file_stats(tmp_path)
    assert list_files(tmp_path) == [name]
    assert fingerprint_files(tmp_path, [name]) != fingerprint_files(tmp_path, [])


def test_broken_links_and_loops_in_a_folder_do_not_prevent_its_fingerprint(tmp_path):
    (tmp_path / "inner").mkdir()
    before = file_stats(tmp_path)
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "inner" / "up").symlink_to("..")
    assert file_stats(tmp_path) != before
    assert file_stats(tmp_path) == file_stats(tmp_path)
