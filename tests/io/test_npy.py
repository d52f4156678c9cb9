"""`.npy` files: headers are not believed, maps are few, fresh and closed."""

from __future__ import annotations

import os
import pickle
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from karsl.errors import CorruptRecordError
from karsl.io.npy import MappedFiles, ShortHeader, array_from, parse_header
from karsl.io.npz import list_members


def saved(path, array):
    np.save(path, array)
    return str(path)


def test_a_header_gives_shape_order_type_and_where_the_numbers_start(tmp_path):
    path = saved(tmp_path / "a.npy", np.asfortranarray(np.zeros((2, 3), np.float16)))
    data = (tmp_path / "a.npy").read_bytes()
    assert parse_header(data) == ((2, 3), True, np.dtype("<f2"), 128)
    np.testing.assert_array_equal(array_from(data), np.load(path))


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda d: d[:20], ShortHeader, "128"),
        (lambda d: b"\0" + d[1:], ValueError, "not a .npy"),
        (lambda d: d.replace(b"'<f8'", b"'|O' "), ValueError, "an object array, which would run pickle"),
        (lambda d: d.replace(b"(3,)", b"(9,)"), ValueError, "24 bytes of numbers where the header says 72"),
        (lambda d: d + b"\0", ValueError, "25 bytes of numbers where the header says 24"),
        (
            lambda d: d.replace(b"(3,), }" + b" " * 39, b"(" + b"9" * 40 + b",), }"),
            ValueError,
            "an impossible array of float64",
        ),
        (lambda d: d[:6] + b"\2\0" + (1 << 30).to_bytes(4, "little"), ValueError, "header of 1073741836 bytes, more than"),
    ],
)
def test_a_header_is_not_believed(tmp_path, change, error, text):
    saved(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(error, match=text):
        array_from(change((tmp_path / "a.npy").read_bytes()))


def test_an_archive_with_a_wrong_header_length_is_rejected_before_it_is_inflated(tmp_path):
    path, size = tmp_path / "a.npz", 64 << 20
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as member:
        member.write(b"\x93NUMPY\x02\x00" + size.to_bytes(4, "little"))
        for _ in range(16):
            member.write(b" " * (size // 16))
    tracemalloc.start()
    members, problems = list_members(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (members, peak < size // 4) == ([], True)
    assert "array 'a' cannot be read (a .npy header of 67108876 bytes, more than 65536)" in problems[0]


def test_no_more_files_are_mapped_than_asked_and_descriptors_are_given_back(tmp_path):
    paths = [saved(tmp_path / f"{n}.npy", np.full(2, n)) for n in range(9)]

    def held() -> int:
        found = 0
        for fd in Path("/proc/self/fd").iterdir():
            with suppress(FileNotFoundError):  # of another thread
                found += str(tmp_path) in os.readlink(fd)
        return found

    maps = MappedFiles(max_open=3)
    assert [int(maps.array(path)[0]) for path in paths] == list(range(9))
    assert len(maps) == 3
    assert held() <= 3
    maps.close()
    assert held() == 0


def test_an_array_outlives_its_file_in_the_cache_of_maps(tmp_path):
    maps = MappedFiles(max_open=1)
    first = maps.array(saved(tmp_path / "a.npy", np.arange(5)))
    maps.array(saved(tmp_path / "b.npy", np.zeros(1)))
    maps.close()
    assert first.tolist() == [0, 1, 2, 3, 4]


def test_a_file_that_was_replaced_is_mapped_again(tmp_path):
    maps, path = MappedFiles(), saved(tmp_path / "a.npy", np.zeros(2))
    old = maps.array(path)
    saved(tmp_path / "new.npy", np.ones(3))
    os.replace(tmp_path / "new.npy", path)
    assert (maps.array(path).tolist(), old.tolist()) == ([1, 1, 1], [0, 0])


def test_a_copy_for_another_process_has_nothing_open(tmp_path):
    maps = MappedFiles(7)
    maps.array(saved(tmp_path / "a.npy", np.zeros(2)))
    copy = pickle.loads(pickle.dumps(maps))
    assert (len(copy), copy.max_open) == (0, 7)


def test_missing_empty_and_other_files_have_distinct_errors(tmp_path):
    maps = MappedFiles()
    with pytest.raises(FileNotFoundError, match="no such file; is data_root right"):
        maps.array(str(tmp_path / "a.npy"))
    with pytest.raises(FileNotFoundError, match="no such file; is data_root right"):
        maps.bytes(str(tmp_path))  # a folder
    (tmp_path / "a.npy").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(CorruptRecordError, match="a.npy: no readable .npy file"):
        maps.array(str(tmp_path / "a.npy"))
    (tmp_path / "b").touch()
    with pytest.raises(CorruptRecordError, match="the file is empty"):
        maps.bytes(str(tmp_path / "b"))
