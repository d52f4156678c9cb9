"""What shapes an index changes its name, what does not leaves it, and doubt gives None."""

from __future__ import annotations

import enum
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest

from karsl.datasets.index.code_facts import code_facts, package_facts
from karsl.datasets.index.fingerprint import fingerprint
from karsl.datasets.index.identity import index_identity
from karsl.io.hashing import file_stats

NAMES = ("load_data_list", "parse_data_info", "filter_data")


class Colour(enum.Enum):
    RED = 1


@dataclass(frozen=True)
class Box:
    size: tuple


VALUES = [
    None, True, 1, 1.0, "1", b"1", [1], (1,), {1}, {"a": 1}, {"a": 1, "b": 2}, Path("1"), range(1), range(2), slice(1),
    np.int64(1), np.int32(1), np.array([1]), np.array([[1]]), np.array([1.0]), int, Colour.RED, Box((1,)), Box((2,)), "",
    [], (), {}, set(), [[], []], [[[]]], ["a", "b"], ["ab"], 0.0, -0.0, ..., 1j,
]  # fmt: skip


def test_different_values_have_different_fingerprints():
    assert len({fingerprint(value) for value in VALUES}) == len(VALUES)
    assert None not in {fingerprint(value) for value in VALUES}
    assert fingerprint(1, 2) != fingerprint([1, 2])


def test_the_order_of_keys_does_not_matter():
    assert fingerprint({"a": 1, "b": {3, 4}}) == fingerprint({"b": {4, 3}, "a": 1})


def test_a_fingerprint_is_the_same_in_another_process():
    code = "from karsl.datasets.index.fingerprint import fingerprint; print(fingerprint({'b', 'a', 'c'}, ('01', 2.5)))"
    for seed in "12":  # of hashes, which order a set
        env = {**os.environ, "PYTHONHASHSEED": seed}
        told = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
        assert told.strip() == fingerprint({"a", "b", "c"}, ("01", 2.5))
    assert len(fingerprint()) == 32


@pytest.mark.parametrize("make", [object, lambda: lambda: 0, lambda: np.array([object()]), MagicMock, lambda: open])
def test_a_value_that_cannot_be_read_gives_none(make):
    value = make()
    assert fingerprint({"deep": [value]}) is None


def test_the_version_enters(monkeypatch):
    before = fingerprint(1)
    monkeypatch.setattr("karsl.datasets.index.fingerprint.FORMAT_VERSION", 99)
    assert fingerprint(1) != before


def test_a_file_is_known_by_its_content(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("one")
    before = file_stats(path)
    os.utime(path, (1, 1))
    assert file_stats(path) == before
    path.write_text("two")
    assert file_stats(path) != before


def test_a_remembered_hash_is_used_only_while_nothing_changed(tmp_path, monkeypatch):
    monkeypatch.setattr("karsl.io.hashing.RACY_NS", 10**15)  # however long this process waits for its turn
    memory = tmp_path / "memory"
    memory.mkdir(mode=0o700)
    path = tmp_path / "a.json"
    path.write_text("one")
    long_ago = time.time_ns() - 10**16
    before = file_stats(path, memory)
    assert list(memory.iterdir()) == []  # too fresh: a second write within one tick of the clock could go unseen
    os.utime(path, ns=(long_ago, long_ago))  # the time of the inode stays fresh
    assert file_stats(path, memory) == before
    assert list(memory.iterdir()) == []


def test_a_remembered_hash_saves_the_reading(tmp_path, monkeypatch):
    monkeypatch.setattr("karsl.io.hashing.RACY_NS", -1)
    path = tmp_path / "a.json"
    path.write_text("one")
    before = file_stats(path, tmp_path)
    (note,) = tmp_path.glob("*.facts")
    monkeypatch.setattr(Path, "open", None)  # reading the content would fail now
    assert file_stats(path, tmp_path) == before
    monkeypatch.undo()
    stamp = path.stat()
    while path.stat().st_ctime_ns == stamp.st_ctime_ns:  # a coarse clock of files ticks every 10 ms
        path.write_text("two")
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # same size, same time
    assert file_stats(path, tmp_path) != before
    note.write_bytes(b"rubbish")
    assert file_stats(path, tmp_path) == file_stats(path)


def test_a_folder_is_known_by_names_sizes_and_times(tmp_path):
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


class Base:
    def load_data_list(self):
        return [self.parse_data_info({})]

    def parse_data_info(self, raw):
        return raw

    def filter_data(self):
        return []


def scale():
    return 1


LIMIT = 3


def test_overriding_or_editing_a_method_changes_the_code():
    class One(Base):
        def parse_data_info(self, raw):
            return super().parse_data_info(raw) | {"n": 1}

    class Two(Base):
        def parse_data_info(self, raw):
            return super().parse_data_info(raw) | {"n": 2}

    assert len({code_facts(cls, ["parse_data_info"]) for cls in (Base, One, Two)}) == 3


def test_code_behind_a_method_is_followed(monkeypatch):
    class Uses(Base):
        def load_data_list(self):
            return [self._one()]

        def _one(self):
            return scale() * LIMIT

    seen = {code_facts(Uses, NAMES)}
    monkeypatch.setitem(globals(), "scale", lambda: 2)
    seen.add(code_facts(Uses, NAMES))
    monkeypatch.setitem(globals(), "LIMIT", 4)
    seen.add(code_facts(Uses, NAMES))
    monkeypatch.setattr(Uses, "_one", lambda self: 5)
    seen.add(code_facts(Uses, NAMES))
    assert len(seen) == 4
    assert None not in seen


def test_a_method_replaced_on_the_instance_counts():
    plain, patched = Base(), Base()
    patched.filter_data = lambda: [1]
    assert code_facts(plain, NAMES) != code_facts(patched, NAMES)


def test_mocks_and_unknown_closures_cannot_be_told(monkeypatch):
    secret = object()

    class Closed(Base):
        def filter_data(self):
            return secret

    assert code_facts(Closed, NAMES) is None
    monkeypatch.setattr(Base, "load_data_list", MagicMock(return_value=[]))
    assert code_facts(Base, NAMES) is None
    assert code_facts(Base(), NAMES) is None


class Annotated(Base):
    def __init__(self, ann_file, prefix="", counter=None):
        self.ann_file, self.prefix, self.counter = str(ann_file), prefix, counter


def test_the_identity_sees_attributes_and_the_files_they_name(tmp_path):
    ann = tmp_path / "ann.json"
    ann.write_text("{}")
    same = index_identity(Annotated(ann), ignore=["counter"])
    assert index_identity(Annotated(ann, counter=object()), ignore=["counter"]) == same
    assert index_identity(Annotated(ann, counter=object()), ignore=[]) is None
    assert index_identity(Annotated(ann, prefix="x"), ignore=["counter"]) != same
    ann.write_text("[]")
    assert index_identity(Annotated(ann), ignore=["counter"]) != same


def test_further_inputs_can_be_named(tmp_path):
    class Reads(Annotated):
        def index_inputs(self):
            return [tmp_path / "more.txt"]

    assert index_identity(Reads("none.json"), ignore=["counter"]) is None  # the file is not there
    (tmp_path / "more.txt").write_text("1")
    one = index_identity(Reads("none.json"), ignore=["counter"])
    (tmp_path / "more.txt").write_text("2")
    assert one != index_identity(Reads("none.json"), ignore=["counter"])


def test_every_module_that_reads_or_parses_counts():
    names = {name for name, *_ in package_facts()}
    assert {"datasets/base.py", "datasets/index/codec.py", "storage/pack/plan.py", "skeletons/mediapipe.py"} <= names
    assert not [name for name in names if name.startswith(("engine", "cli"))]
