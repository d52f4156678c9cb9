import io
import os
import pickle
import zipfile
import zlib
from contextlib import nullcontext, suppress

import numpy as np
import pytest

from karsl.errors import ConfigError, CorruptRecordError
from karsl.io import list_members, read_member
from karsl.io.npz import NpzReader, check_unpacked_size, read_range


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "0001.npz"
    np.savez_compressed(path, a=np.arange(6).reshape(1, 2, 3), b=np.zeros((2, 2, 4), np.float16))
    return path


def test_headers_give_keys_shapes_and_types_in_file_order(archive):
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
    assert open_files() <= before  # what tests before this one left may be closed meanwhile


def open_files() -> int:
    import psutil

    return psutil.Process().num_fds()


def test_a_missing_file_a_missing_key_and_an_empty_file_have_distinct_errors(archive, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file; is data_root right"):
        read_member(tmp_path / "none.npz", "a")
    with pytest.raises(CorruptRecordError, match="no array 'c'; it holds 2, e.g. a, b"):
        read_member(archive, "c")
    (tmp_path / "empty.npz").touch()
    with pytest.raises(CorruptRecordError, match="the file is empty; copy it again"):
        list_members(tmp_path / "empty.npz")


def test_a_truncated_archive_is_rejected_in_one_sentence(archive):
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


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_array_whose_header_declares_other_bytes_than_it_has_is_a_problem(tmp_path, save):
    path, size = tmp_path / "x.npz", "(3, 2, 4)"
    save(path, a=np.zeros((3, 2, 4), np.float32))
    with zipfile.ZipFile(path) as source:
        (info,), data = source.infolist(), source.read("a.npy")
    with zipfile.ZipFile(path, "w", info.compress_type) as target:
        target.writestr("a.npy", data.replace(f"{size}, }}       ".encode(), b"(3000000, 2, 4), } "))
    members, problems = list_members(path)
    assert not members
    assert "array 'a' cannot be read (it has 224 bytes where its header says 96000128); re-export it" in problems[0]


def test_a_member_that_is_no_array_is_a_problem(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("readme.txt", "hello")
    assert list_members(path)[1] == [f"{path}: array 'readme.txt' cannot be read (not a .npy member); re-export it"]


# ---- by offset ----


def members_of(path):
    return {m.key: m for m in list_members(path)[0]}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_member_is_read_at_its_byte_range_without_the_directory(tmp_path, save, monkeypatch):
    path = tmp_path / "x.npz"
    arrays = {f"clip {n} ({'x' * 40 * n})": np.random.default_rng(n).random((n + 1, 3)) for n in range(4)}
    save(path, **arrays)
    members = members_of(path)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    for key, array in arrays.items():
        found = read_range(path, key, members[key].range)
        np.testing.assert_array_equal(found, array)
        assert not NpzReader().read(str(path), key, members[key].range).flags.writeable


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_zip_method_is_read_and_by_byte_range_where_possible(tmp_path, method):
    path, data = tmp_path / "x.npz", io.BytesIO()
    np.save(data, np.arange(500.0))
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.npy", data.getvalue())
    range_ = members_of(path)["a"].range
    assert (range_ is not None) == (method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    np.testing.assert_array_equal(NpzReader().read(str(path), "a", range_), np.arange(500.0))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_no_flipped_bit_of_a_member_goes_unnoticed(tmp_path, save):
    path = tmp_path / "x.npz"
    save(path, a=np.linspace(0, 1, 40))
    range_, data, facts, unnoticed = members_of(path)["a"].range, path.read_bytes(), path.stat(), []
    for byte in range(range_.start, range_.start + range_.stored):
        spoiled = bytearray(data)
        spoiled[byte] ^= 1 << byte % 8
        path.write_bytes(spoiled)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        with suppress(CorruptRecordError):
            np.testing.assert_array_equal(read_range(path, "a", range_), np.linspace(0, 1, 40))
            unnoticed.append(byte)
    last = range_.start + range_.stored - 1
    assert set(unnoticed) <= ({last} if save is np.savez_compressed else set())  # padding after a deflated stream


def test_a_changed_file_is_reported_and_read_by_name(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.zeros(3), b=np.ones(3))
    range_, reader = members_of(path)["b"].range, NpzReader()
    np.savez(path, more=np.full(9, 7.0), b=np.full(4, 2.0))
    with pytest.warns(UserWarning, match="x.npz changed after it was indexed; its clips are now found by name"):
        assert reader.read(str(path), "b", range_).tolist() == [2, 2, 2, 2]
    np.savez(path, b=np.full(2, 3.0))
    assert reader.read(str(path), "b").tolist() == [3, 3]
    path.unlink()
    with pytest.raises(FileNotFoundError, match="no such file; is data_root right"):
        reader.read(str(path), "b", range_)


@pytest.mark.parametrize("by_range", [True, False])
def test_another_file_of_the_same_size_and_time_is_read_by_name(tmp_path, by_range):
    path, reader = tmp_path / "x.npz", NpzReader()

    def export(value: float) -> None:  # as exporters do that fix all times
        np.savez(path, a=np.full(4, value))
        os.utime(path, (0, 0))

    export(1)
    range_ = members_of(path)["a"].range if by_range else None
    assert reader.read(str(path), "a", range_)[0] == 1
    export(2)
    with pytest.warns(UserWarning, match="changed after it was indexed") if by_range else nullcontext():
        assert reader.read(str(path), "a", range_)[0] == 2
    content = bytearray(path.read_bytes())
    content[members_of(path)["a"].range.start + 140] ^= 1
    path.write_bytes(content)
    os.utime(path, (0, 0))
    with pytest.raises(CorruptRecordError, match=r"x.npz: array 'a' cannot be read"):
        reader.read(str(path), "a", members_of(path)["a"].range)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("length", [940, 960, 970, 990, 1000, 1020, 3000])
def test_names_may_be_long(tmp_path, save, length):
    path, key = tmp_path / "x.npz", "ك" * 30 + "Z" * (length - 64)
    save(path, **{key: np.arange(5.0), "b": np.ones(2)})
    assert members_of(path)[key].shape == (5,)
    assert list_members(path)[1] == []
    assert NpzReader().read(str(path), key, members_of(path)[key].range).tolist() == [0, 1, 2, 3, 4]


def test_directories_are_cached_up_to_a_number_of_members(tmp_path):
    paths = [str(tmp_path / f"{n}.npz") for n in range(5)]
    for n, path in enumerate(paths):
        np.savez(path, a=np.array([n]), b=np.array([-n]))
    reader = NpzReader(max_members=4)
    for _ in range(2):
        assert [int(reader.read(path, "a")[0]) for path in paths] == [0, 1, 2, 3, 4]
    assert (len(reader._directories), reader._directories.size) == (2, 4)
    assert pickle.loads(pickle.dumps(reader))._directories.size == 0


def test_a_wrong_header_is_rejected(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.zeros((4, 5)))
    range_ = members_of(path)["a"].range
    data = path.read_bytes().replace(b"(4, 5)", b"(4, 9)")
    path.write_bytes(data)
    range_ = range_._replace(mtime_ns=path.stat().st_mtime_ns)
    with pytest.raises(CorruptRecordError, match="array 'a' cannot be read .*CRC"):
        read_range(path, "a", range_)
    stored = data[range_.start : range_.start + range_.stored]
    with pytest.raises(CorruptRecordError, match="160 bytes of numbers where the header says 288"):
        read_range(path, "a", range_._replace(crc=zlib.crc32(stored)))


@pytest.mark.parametrize(
    "header",
    [
        "'descr': '<f4', 'fortran_order': False, 'shape': (1,",
        "'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000000000000,), }",
        "'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000,), }",
        "'descr': ('<f4',), 'fortran_order': False, 'shape': (1,), }",
        "[]: 1}",
    ],
)
def test_a_header_that_makes_no_sense_is_one_sentence(tmp_path, header):
    path, header = tmp_path / "x.npz", "{" + header + "\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
    with pytest.raises(CorruptRecordError, match="array 'a' cannot be read"):
        read_member(path, "a")
    assert [len(found) for found in list_members(path)] in ([1, 0], [0, 1])


def test_an_archive_cut_after_it_was_indexed_is_an_error(archive):
    range_ = members_of(archive)["a"].range
    archive.write_bytes(archive.read_bytes()[:60])
    with pytest.warns(UserWarning, match="changed"), pytest.raises(CorruptRecordError, match="no readable npz archive"):
        NpzReader().read(str(archive), "a", range_)


def test_without_the_faster_library_the_same_bytes_are_inflated(archive, monkeypatch):
    monkeypatch.setattr("karsl.io.npz.deflate", None)
    assert read_range(archive, "a", members_of(archive)["a"].range).tolist() == [[[0, 1, 2], [3, 4, 5]]]


@pytest.mark.parametrize(("size", "text"), [(1 << 40, "cannot decompress to"), (300, "instead of 300|Decompression failed")])
@pytest.mark.parametrize("library", [True, False])
def test_a_directory_that_promises_another_size_is_rejected(archive, monkeypatch, library, size, text):
    if not library:
        monkeypatch.setattr("karsl.io.npz.deflate", None)
    with pytest.raises(CorruptRecordError, match=f"array 'a' cannot be read .*({text})"):
        read_range(archive, "a", members_of(archive)["a"].range._replace(size=size))


def test_a_bound_that_is_no_number_is_named(monkeypatch):
    monkeypatch.setenv("KARSL_MAX_UNPACKED_BYTES", "1 GB")
    with pytest.raises(ConfigError, match="KARSL_MAX_UNPACKED_BYTES='1 GB'; expected a number of bytes"):
        check_unpacked_size(1)
