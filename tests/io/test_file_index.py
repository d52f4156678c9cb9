"""Headers of files are stored: only changed files are opened again, and a damaged index is not used."""

from __future__ import annotations

import os

import msgpack
import numpy as np
import pytest
import torch
from xxhash import xxh3_64_digest

from karsl.errors import CorruptRecordError
from karsl.io.file_index import FileIndex, inspect_clips

OLD_NS = 10**18


@pytest.fixture
def root(tmp_path):
    """Three files of an old time, with 2, 1 and 1 clips."""
    root = tmp_path / "root"
    root.mkdir()
    np.savez(root / "a.npz", x=np.zeros((3, 2, 4)), y=np.zeros((5, 2, 4)))
    np.save(root / "b.npy", np.zeros((7, 2, 4), np.float16))
    torch.save(torch.zeros(2, 2, 4), root / "c.pt")
    for path in root.iterdir():
        os.utime(path, ns=(OLD_NS, OLD_NS))
    return root


NAMES = ["a.npz", "b.npy", "c.pt"]


def test_clips_are_counted_over_files_and_found_by_number(root):
    index = FileIndex.read(root, NAMES)
    assert (len(index), index.clip_ends.tolist(), index.frame_ends.tolist()) == (4, [2, 3, 4], [3, 8, 15, 17])
    assert [index.locate(n) for n in range(4)] == [(0, 0), (0, 1), (1, 0), (2, 0)]
    with pytest.raises(IndexError, match="clip 4 is outside an index of 4"):
        index.locate(4)


def test_files_that_did_not_change_are_not_opened_again(root, tmp_path):
    index_file = tmp_path / "index"
    first = FileIndex.read(root, NAMES, index_file=index_file)
    assert first.added == NAMES
    for path in root.iterdir():  # same size and time, nothing in them: only their names and states can be read
        path.write_bytes(bytes(path.stat().st_size))
        os.utime(path, ns=(OLD_NS, OLD_NS))
    again = FileIndex.read(root, NAMES, index_file=index_file)
    assert (again.files, again.added, again.changed, again.removed) == (first.files, [], [], [])


def test_what_was_added_changed_or_removed_is_named_and_read(root, tmp_path):
    index_file = tmp_path / "index"
    FileIndex.read(root, NAMES, index_file=index_file)
    np.save(root / "b.npy", np.zeros((9, 2, 4)))
    (root / "a.npz").unlink()
    np.save(root / "d.npy", np.zeros((1, 2, 4)))
    index = FileIndex.read(root, ["b.npy", "c.pt", "d.npy"], index_file=index_file)
    assert (index.added, index.changed, index.removed) == (["d.npy"], ["b.npy"], ["a.npz"])
    assert index.frame_ends.tolist() == [9, 11, 12]
    assert FileIndex.read(root, ["c.pt"], index_file=index_file).changed == []


def test_a_file_younger_than_the_clock_resolution_is_read_again(root, tmp_path, monkeypatch):
    monkeypatch.setattr("karsl.io.file_index.RACY_NS", 10**16)  # however long this process waits for its turn
    index_file = tmp_path / "index"
    np.save(root / "b.npy", np.zeros((9, 2, 4)))
    for _ in range(2):
        index = FileIndex.read(root, NAMES, index_file=index_file)
        assert "b.npy" in index.added


@pytest.mark.parametrize("damage", [lambda d: d[:50], lambda d: d[:60] + b"!" + d[61:], lambda d: b"", lambda d: b"\0" * 99])
def test_a_damaged_index_is_not_used(root, tmp_path, damage):
    index_file = tmp_path / "index"
    first = FileIndex.read(root, NAMES, index_file=index_file)
    index_file.write_bytes(damage(index_file.read_bytes()))
    again = FileIndex.read(root, NAMES, index_file=index_file)
    assert (again.files, again.added) == (first.files, NAMES)


@pytest.mark.parametrize(
    ("place", "value"),
    [((0, 4), [["not", "text"]]), ((0, 3, 0, 3), []), ((0, 3, 0, 3), [1] * 6 + ["now"]), ((0, 1), "many"), ((0,), None)],
    ids=["problem", "empty range", "text in a range", "size", "file"],
)
def test_an_index_with_values_of_other_types_is_not_used(root, tmp_path, place, value):
    index_file = tmp_path / "index"
    first = FileIndex.read(root, NAMES, index_file=index_file)
    content = msgpack.unpackb(index_file.read_bytes()[8:])
    parent = content[1]
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    damaged = msgpack.packb(content)
    index_file.write_bytes(xxh3_64_digest(damaged) + damaged)
    again = FileIndex.read(root, NAMES, index_file=index_file)
    assert (again.files, again.added) == (first.files, NAMES)


def test_problems_are_stored_with_their_file(root, tmp_path):
    (root / "b.npy").write_bytes(b"hello")
    os.utime(root / "b.npy", ns=(OLD_NS, OLD_NS))
    for _ in range(2):
        index = FileIndex.read(root, [*NAMES, "removed.npy"], index_file=tmp_path / "index")
        assert "b.npy: no readable .npy file" in index.files[1].problems[0]
        assert "removed.npy: was removed while the folder was read" in index.files[3].problems[0]
        assert len(index) == 3


def test_an_array_shorter_than_its_header_is_a_problem(root):
    path = root / "b.npy"
    path.write_bytes(path.read_bytes()[:-8])
    assert inspect_clips(path)[1] == [f"{path}: 104 bytes of numbers where the header says 112; export it again"]
    with pytest.raises(CorruptRecordError, match="clips are read from .npz, .npy, .pt, .pth, .h5, .hdf5 files; convert it"):
        inspect_clips(root / "x.csv")
