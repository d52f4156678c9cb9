import pickle
import zipfile

import numpy as np
import pytest

from karsl.errors import CorruptRecordError
from karsl.storage import list_members, read_member


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "0001.npz"
    np.savez_compressed(path, a=np.arange(6).reshape(1, 2, 3), b=np.zeros((2, 2, 4), np.float16))
    return path


def test_headers_tell_keys_shapes_and_types_in_file_order(archive):
    members, problems = list_members(archive)
    assert [(m.key, m.shape, m.dtype.str) for m in members] == [("a", (1, 2, 3), "<i8"), ("b", (2, 2, 4), "<f2")]
    assert problems == []


def test_a_member_is_read_by_its_key(archive):
    assert read_member(archive, "a").tolist() == [[[0, 1, 2], [3, 4, 5]]]


def test_reading_leaves_no_file_open(archive):
    before = open_files()
    for _ in range(20):
        read_member(archive, "b")
        list_members(archive)
    assert open_files() == before


def open_files() -> int:
    import psutil

    return psutil.Process().num_fds()


def test_an_absent_file_an_absent_key_and_an_empty_file_are_told_apart(archive, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file; is data_root right"):
        read_member(tmp_path / "none.npz", "a")
    with pytest.raises(CorruptRecordError, match="no array 'c'; it holds 2, e.g. a, b"):
        read_member(archive, "c")
    (tmp_path / "empty.npz").touch()
    with pytest.raises(CorruptRecordError, match="the file is empty; copy it again"):
        list_members(tmp_path / "empty.npz")


def test_a_truncated_archive_is_refused_in_one_sentence(archive):
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(CorruptRecordError, match="no readable npz archive .* re-export it") as caught:
        read_member(archive, "a")
    assert str(archive) in str(caught.value)


def test_a_flipped_bit_in_the_data_is_found(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.zeros(1000))
    data = bytearray(path.read_bytes())
    data[4000] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptRecordError, match="array 'a' cannot be read .*CRC"):
        read_member(path, "a")


def test_a_pickle_named_npz_is_not_loaded(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(CorruptRecordError, match="a pickle, which is never read"):
        list_members(path)


def test_an_object_array_is_a_problem_and_does_not_hide_the_others(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, bad=np.array([{"code": 1}], dtype=object), good=np.zeros(3))
    members, problems = list_members(path)
    assert [m.key for m in members] == ["good"]
    assert len(problems) == 1
    assert "array 'bad' cannot be read (an object array, which would run pickle)" in problems[0]
    with pytest.raises(CorruptRecordError, match="array 'bad' cannot be read"):
        read_member(path, "bad")


def test_two_arrays_of_one_name_are_a_problem(tmp_path, archive):
    with zipfile.ZipFile(archive) as source:
        data = source.read("a.npy")
    path = tmp_path / "twice.npz"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("a.npy", data)
        with pytest.warns(UserWarning, match="Duplicate name"):
            target.writestr("a.npy", data)
    members, problems = list_members(path)
    assert len(members) == 1
    assert problems == [f"{path}: two arrays are called 'a'"]


def test_a_member_that_is_no_array_is_a_problem(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("readme.txt", "hello")
    assert list_members(path)[1] == [f"{path}: array 'readme.txt' cannot be read (not a .npy member); re-export it"]
