"""A RecordList behaves as a list of private dicts, shares its pages, and detects a flipped byte."""

from __future__ import annotations

import copy
import errno
import mmap
import pickle
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karsl.datasets.index.codec import decode
from karsl.datasets.index.record_list import RecordList
from karsl.errors import IndexFileError

RECORDS = [{"clip_id": f"clip {i}", "label": i % 3, "signer": f"0{i % 2}"} for i in range(10)]


@pytest.fixture(params=["file", "memory"])
def records(request, tmp_path):
    path = tmp_path / "a.idx" if request.param == "file" else None
    return RecordList.build(
        RECORDS, path=path, fingerprint="f", columns={"label": "int64", "signer": "category"}, meta={"classes": ("a",)}
    )


def test_records_come_back_in_order_and_private(records):
    assert list(records) == RECORDS
    records[0]["label"] = 99
    assert records[0] == RECORDS[0]


def test_negative_and_numpy_indices_work_as_in_a_list(records):
    assert [records[-1], records[-10], records[np.int64(3)]] == [RECORDS[-1], RECORDS[0], RECORDS[3]]


@pytest.mark.parametrize("index", [10, -11])
def test_an_index_out_of_range_is_an_error(records, index):
    with pytest.raises(IndexError, match=f"index {index} is out of range for 10 records"):
        records[index]


def test_data_bytes_and_address_have_the_meaning_of_mmengine(records):
    data, address = records.data_bytes, records.data_address
    assert (data.dtype, data.ndim, address.dtype, len(address)) == (np.uint8, 1, np.int64, 10)
    starts = [0, *address[:-1]]
    assert [decode(data[s:e]) for s, e in zip(starts, address, strict=True)] == RECORDS
    assert not data.flags.writeable


@pytest.mark.parametrize("indices", [4, -4, 99, 0, slice(1, None, 2), [5], [7, 0, -1], np.array([3, 3, 1]), range(2, 6), []])
def test_a_selection_is_that_of_numpy(records, indices):
    expected = np.array(RECORDS)
    expected = expected[:indices] if isinstance(indices, int) and indices >= 0 else expected
    if isinstance(indices, int):
        expected = expected[indices:] if indices < 0 else expected
    else:
        expected = expected[np.array(indices, int) if isinstance(indices, list) else indices]
    selected = records.select(indices)
    assert list(selected) == list(expected)
    ends = selected.data_address
    pieces = zip([0, *ends[:-1]], ends, strict=True) if len(ends) else ()
    assert [decode(selected.data_bytes[start:end]) for start, end in pieces] == list(selected)
    assert selected.column("label").tolist() == [record["label"] for record in expected]
    assert selected.reader is records.reader


selections = st.one_of(st.integers(-12, 12), st.slices(6), st.lists(st.integers(0, 3), max_size=6))


@settings(max_examples=150, deadline=None)
@given(st.lists(selections, max_size=4))
def test_selections_of_selections_compose_as_lists_do(chain):
    selected, expected = RecordList.build(RECORDS), RECORDS
    for selection in chain:
        if isinstance(selection, list):
            selection = [p for p in selection if p < len(expected)]
            expected = [expected[p] for p in selection]
        elif isinstance(selection, int):
            expected = expected[:selection] if selection >= 0 else expected[selection:]
        else:
            expected = expected[selection]
        selected = selected.select(selection)
    assert list(selected) == expected


def test_an_empty_list_is_a_list():
    empty = RecordList.build([])
    assert (len(empty), list(empty), len(empty.select([])), empty.data_address.dtype) == (0, [], 0, np.int64)
    assert empty.data_bytes.dtype == np.uint8
    with pytest.raises(IndexError):
        empty[0]


def test_columns_are_stored_with_the_records(records):
    assert records.column("label").tolist() == [0, 1, 2] * 3 + [0]
    assert not records.column("label").flags.writeable
    codes, signers = records.column("signer"), records.categories("signer")
    assert [signers[code] for code in codes] == [record["signer"] for record in RECORDS]


def test_a_missing_column_names_the_record_that_lacks_it():
    records = RecordList.build([{"label": 1}, {}, {"label": "x"}], columns={"label": "int64"})
    assert records.columns == ()
    with pytest.raises(KeyError, match="record 1 lacks 'label'"):
        records.column("label")
    records = RecordList.build([{"label": 2**70}], columns={"label": "int64"})
    with pytest.raises(KeyError, match="record 0 has label=1180591620717411303424"):
        records.column("label")


def test_an_optional_column_is_nan_where_a_record_lacks_the_key():
    records = RecordList.build([{"fps": 25}, {}, {"fps": None}, {"fps": 29.97}], columns={"fps": "optional"})
    np.testing.assert_array_equal(records.column("fps"), [25, np.nan, np.nan, 29.97])
    assert records[:1].column("fps").tolist() == [25]
    records = RecordList.build([{"fps": 25}, {"fps": "25"}], columns={"fps": "optional"})
    with pytest.raises(KeyError, match="record 1 has fps='25'"):
        records.column("fps")


def test_metadata_is_a_private_copy(records):
    records.meta["classes"] = ()
    assert records.meta == {"classes": ("a",)}


def test_a_pickle_is_small_and_maps_the_same_file(tmp_path):
    records = RecordList.build(({"n": i, "text": "x" * 50} for i in range(20_000)), path=tmp_path / "a.idx")
    for lst in (records, records.select(np.random.default_rng(0).permutation(20_000)), records.select([5, 1, 3])):
        data = pickle.dumps(lst)
        assert len(data) < 1000
        assert list(pickle.loads(data).select(50)) == list(lst.select(50))


def test_a_deep_copy_shares_the_pages(records):
    assert copy.deepcopy(records) is records


def last_of(lst, queue):
    queue.put((lst[-1], int(lst.column("label")[0]), len(lst)))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_selection_is_readable_in_other_processes(records, method):
    context = get_context(method)
    queue = context.Queue()
    selected = records.select(np.tile([3, 1, 2], 3000))
    process = context.Process(target=last_of, args=(selected, queue))
    process.start()
    assert queue.get(timeout=300) == (RECORDS[2], 0, 9000)
    process.join()


def test_a_record_that_only_pickle_can_store_stays_in_memory_of_the_run(tmp_path, caplog):
    path = tmp_path / "a.idx"
    records = RecordList.build([{"a": 1}, {"a": {1, 2}}, {"a": 3}], path=path)
    assert list(records) == [{"a": 1}, {"a": {1, 2}}, {"a": 3}]
    assert records.path is None
    assert list(tmp_path.iterdir()) == []
    assert list(pickle.loads(pickle.dumps(records))) == list(records)


def test_metadata_that_only_pickle_can_store_stays_in_memory_of_the_run(tmp_path):
    records = RecordList.build([{"a": 1}], path=tmp_path / "a.idx", meta={"when": {1}})
    assert (records.meta, records.path) == ({"when": {1}}, None)


def test_an_error_while_building_leaves_nothing(tmp_path):
    def broken():
        yield {"a": 1}
        raise RuntimeError("bad annotation")

    with pytest.raises(RuntimeError, match="bad annotation"):
        RecordList.build(broken(), path=tmp_path / "a.idx")
    assert list(tmp_path.iterdir()) == []


def small_index(folder: Path) -> Path:
    path = folder / "a.idx"
    rows = ({"clip_id": f"clip {i}", "label": i} for i in range(20_000))
    RecordList.build(rows, path=path, columns={"label": "int64"}, meta={"classes": ("a", "b")})
    return path


def read_all(path: Path) -> tuple:
    records = RecordList.open(path, "")
    return list(records), records.column("label").tolist(), records.meta


def test_a_flipped_bit_anywhere_is_an_error_or_harmless_never_wrong_data(tmp_path):
    path = small_index(tmp_path)
    good, right = path.read_bytes(), read_all(path)
    rng = np.random.default_rng(0)
    for offset in [*range(0, 200, 9), *rng.integers(0, len(good), 40), len(good) - 1]:
        bad = bytearray(good)
        bad[offset] ^= 1 << rng.integers(8)
        path.unlink(missing_ok=True)
        path.write_bytes(bad)
        path.chmod(0o600)
        try:
            assert read_all(path) == right
        except IndexFileError as error:
            assert str(path) in str(error)  # noqa: PT017 - either outcome is right
        else:
            assert any(start <= offset < start + 8 for start in padding(good)), offset


def padding(data: bytes) -> list[int]:
    """Offsets of alignment gaps, which contain no data."""
    from karsl.datasets.index.reader import HEADER_BYTES, IndexHeader

    header = IndexHeader.unpack(data[:HEADER_BYTES], len(data), "")
    return [header.ends_offset - 8]


def test_every_truncation_is_an_error(tmp_path):
    path = small_index(tmp_path)
    good = path.read_bytes()
    for size in (0, 1, 4095, 4096, 70_000, len(good) - 1):
        path.unlink()
        path.write_bytes(good[:size])
        path.chmod(0o600)
        with pytest.raises(IndexFileError, match=r"not a complete|truncated"):
            RecordList.open(path, "")


def test_damage_among_the_records_removes_the_file_so_that_a_restart_heals(tmp_path):
    path = small_index(tmp_path)
    with path.open("r+b") as file:
        file.seek(5000)
        file.write(b"\xff\xff\xff")
    records = RecordList.open(path, "")
    with pytest.raises(IndexFileError, match="block 0 of the records fails its checksum"):
        records[0]
    assert not path.exists()


def test_a_damaged_file_that_cannot_be_deleted_is_left_to_the_user(tmp_path, monkeypatch):
    def deny(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    path = small_index(tmp_path)
    with path.open("r+b") as file:
        file.seek(5000)
        file.write(b"\xff\xff\xff")
    records = RecordList.open(path, "")
    monkeypatch.setattr(Path, "unlink", deny)
    with pytest.raises(IndexFileError, match=r"cannot be deleted \(Permission denied\); delete it and start again"):
        records[0]


def test_an_index_of_other_inputs_is_rejected(tmp_path):
    path = small_index(tmp_path)
    with pytest.raises(IndexFileError, match="other inputs"):
        RecordList.open(path, "other")


def test_the_mapping_cannot_be_written(records):
    assert isinstance(records.reader._map, mmap.mmap)
    with pytest.raises(TypeError):
        records.reader._map[0] = 1


def test_removed_pages_give_one_sentence(tmp_path):
    path = small_index(tmp_path)
    records = RecordList.open(path, "")
    factory, (file, *rest) = records.reader.__reduce__()
    reach, (where, of_run, pid, fd, device, inode) = file.__reduce__()
    with pytest.raises(IndexFileError, match="another machine"):
        reach(tmp_path / "gone.idx", of_run, 2**22 + 1, fd, device, inode)
    path.unlink()  # a cleaned cache folder: other processes still reach the pages through this one
    assert pickle.loads(pickle.dumps(records))[3] == records[3]
