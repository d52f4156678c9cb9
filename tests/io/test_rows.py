"""Positions of arrays in files: what is at a position is what numpy and torch read."""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from karsl.errors import CorruptRecordError
from karsl.io.npy import array_from
from karsl.io.npz import MAX_UNPACKED, list_members, read_member
from karsl.io.rows import StoredArray, locate_array
from karsl.io.torch_files import list_tensors, read_tensor
from karsl.io.torch_zip import list_stored_tensors

STACK = np.arange(5 * 3 * 2 * 4, dtype=np.float32).reshape(5, 3, 2, 4)


def bytes_at(path, stored):
    return np.frombuffer(path.read_bytes(), stored.dtype, int(np.prod(stored.shape)), stored.start).reshape(stored.shape)


FORMS = {
    "npy": (lambda p: np.save(p, STACK), None),
    "npz": (lambda p: np.savez(p, other=np.zeros(3), X=STACK), "X"),
    "npz of one": (lambda p: np.savez(p, X=STACK), None),
    "pt": (lambda p: torch.save(torch.from_numpy(STACK), p), None),
    "pt dict": (lambda p: torch.save({"y": torch.zeros(2), "X": torch.from_numpy(STACK)}, p), "X"),
    "pt list": (lambda p: torch.save([torch.zeros(2), torch.from_numpy(STACK)], p), 1),
    "pt module state": (lambda p: torch.save({"X": torch.nn.Parameter(torch.from_numpy(STACK))}, p), "X"),
    "pt view": (lambda p: torch.save(torch.cat([torch.zeros(2, 3, 2, 4), torch.from_numpy(STACK)])[2:], p), None),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_numbers_at_the_position_are_the_array(tmp_path, form):
    save, key = FORMS[form]
    path = tmp_path / f"x.{form.partition(' ')[0]}"
    save(path)
    stored = locate_array(path, key)
    assert (stored.shape, stored.dtype, stored.nbytes) == ((5, 3, 2, 4), np.float32, STACK.nbytes)
    np.testing.assert_array_equal(bytes_at(path, stored), STACK)
    np.testing.assert_array_equal(bytes_at(path, stored.row(3, "x")), STACK[3])


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("x.npy", lambda p: np.save(p, np.asfortranarray(STACK))),
        ("x.npz", lambda p: np.savez_compressed(p, X=STACK)),
        ("x.pt", lambda p: torch.save(torch.from_numpy(STACK).transpose(0, 1), p)),
        ("x.pt", lambda p: torch.save(torch.from_numpy(STACK), p, _use_new_zipfile_serialization=False)),
        ("x.pt", lambda p: torch.save(torch.from_numpy(STACK).bfloat16(), p)),
        ("x.pt", lambda p: torch.save({"model": torch.nn.Linear(2, 2)}, p)),
        ("x.h5", lambda p: p.write_bytes(b"")),
    ],
)
def test_what_is_not_one_block_of_numbers_has_no_position(tmp_path, name, save):
    save(tmp_path / name)
    assert locate_array(tmp_path / name) is None


@given(
    shape=st.lists(st.integers(0, 4), max_size=4).map(tuple),
    dtype=st.sampled_from(["float16", "float32", "float64", "int64", "int32", "uint8", "bool"]),
    start=st.integers(0, 3),
    swap=st.booleans(),
)
def test_every_tensor_is_located_as_torch_reads_it(tmp_path_factory, shape, dtype, start, swap):
    path = tmp_path_factory.mktemp("pt") / "x.pt"
    whole = torch.arange(start + int(np.prod(shape, dtype=int))).to(getattr(torch, dtype))
    tensor = whole[start:].reshape(shape)
    tensor = tensor.transpose(0, -1) if swap and shape else tensor
    torch.save({"a": tensor}, path)
    stored, expected = locate_array(path, "a"), torch.load(path, weights_only=True)["a"]
    assert (stored is None) == (not expected.is_contiguous())
    assert [(m.key, m.shape, m.dtype.name) for m in list_tensors(path)[0]] == [("a", tuple(expected.shape), dtype)]
    if stored is not None:
        np.testing.assert_array_equal(bytes_at(path, stored), expected.numpy())
    np.testing.assert_array_equal(read_tensor(path, "a"), expected.float().numpy())


def test_torch_is_not_imported_to_find_a_tensor(tmp_path):
    torch.save([torch.zeros(2)], tmp_path / "x.pt")
    code = (
        "import sys; from karsl.io.rows import locate_array; locate_array(sys.argv[1], 0); sys.exit('torch' in sys.modules)"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code, str(tmp_path / "x.pt")]) == 0


def test_a_row_outside_the_stack_and_a_missing_key_are_named(tmp_path):
    with pytest.raises(CorruptRecordError, match=r"a.npy: no row 5 in an array of shape \(5, 2\); index the file again"):
        StoredArray(0, (5, 2), np.dtype("f4")).row(5, "a.npy")
    with pytest.raises(CorruptRecordError, match="no row -1"):
        StoredArray(0, (5, 2), np.dtype("f4")).row(-1, "a.npy")
    FORMS["pt dict"][0](tmp_path / "x.pt")
    FORMS["npz"][0](tmp_path / "x.npz")
    for key in ("none", None, 7):
        with pytest.raises(CorruptRecordError, match="no tensor .*; it holds 2, e.g. 'y', 'X'"):
            locate_array(tmp_path / "x.pt", key)
        with pytest.raises(CorruptRecordError, match="no array .*; it holds 2, e.g. other, X"):
            locate_array(tmp_path / "x.npz", key)
    for name in ("none.npy", "none.npz", "none.pt"):
        with pytest.raises(FileNotFoundError, match="no such file"):
            locate_array(tmp_path / name)


@pytest.mark.parametrize("form", ["npy", "npz of one"])
def test_a_header_of_another_size_than_the_file_is_rejected(tmp_path, form):
    path = tmp_path / f"x.{form.partition(' ')[0]}"
    FORMS[form][0](path)
    path.write_bytes(path.read_bytes().replace(b"(5, 3, 2, 4)", b"(9, 3, 2, 4)"))
    with pytest.raises(CorruptRecordError, match="480 bytes of numbers where the header says 864"):
        locate_array(path)


# ---- files that ask for more than they have ----


def npy_bytes(descr, shape):
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }} \n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    ("descr", "shape"), [("|V0", (2**63,)), ("<f4", (2**62, 4)), ("<f4", (-1,)), ("<U1000000", (65536,))]
)
def test_an_impossible_header_is_an_error_before_memory_is_requested(tmp_path, descr, shape):
    data = npy_bytes(descr, shape) + bytes(64)
    with pytest.raises(ValueError, match="an impossible array|bytes of numbers where the header says"):
        array_from(data)
    (tmp_path / "x.npy").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", data)
    for read in (lambda: locate_array(tmp_path / "x.npy"), lambda: read_member(tmp_path / "x.npz", "a")):
        with pytest.raises(CorruptRecordError):
            read()


def test_a_compressed_array_is_unpacked_up_to_a_size_that_a_user_can_raise(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(1000))
    monkeypatch.setenv(MAX_UNPACKED, "8127")
    with pytest.raises(CorruptRecordError, match="unpacks to 8128 bytes, more than 8127; set KARSL_MAX_UNPACKED_BYTES"):
        read_member(tmp_path / "x.npz", "a")
    assert list_members(tmp_path / "x.npz")[0][0].shape == (1000,)
    monkeypatch.setenv(MAX_UNPACKED, "8128")
    assert read_member(tmp_path / "x.npz", "a").shape == (1000,)


def write_pt(path, pickled, *, method=zipfile.ZIP_STORED, data=bytes(16)):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x/data.pkl", pickled)
        archive.writestr("x/data/0", data)


def test_an_archive_that_unpacks_to_more_than_the_file_is_rejected(tmp_path):
    write_pt(tmp_path / "x.pt", b"", method=zipfile.ZIP_DEFLATED, data=bytes(10**6))
    for read in (list_tensors, read_tensor, locate_array):
        with pytest.raises(CorruptRecordError, match="its members unpack to 1000000 bytes, the file has"):
            read(tmp_path / "x.pt")


TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" + b"0X\3\0\0\0cpuK\4tQ"


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\2Nr\xff\xff\xff\xff.",  # a memo of 64 GiB in the unpickler in C
        b"\x80\2cos\nsystem\nX\4\0\0\0true\x85R.",
        b"\x80\2ctorch\nload\n.",
        b"\x80\2ctorch._utils\n_rebuild_tensor_v2\n}X\x0c\0\0\0__defaults__Nsb.",
        TENSOR + b"K\0K\5\x85K\1\x85\x89}tR.",  # five numbers of four
        TENSOR + b"K\0K\2\x85K\1K\1\x86\x89}tR.",  # strides of two axes
        TENSOR + b"J\xff\xff\xff\xffK\1\x85K\1\x85\x89}tR.",  # starts at -1
        b"\x80\2X\xff\xff\xff\x7f.",
        b"",
        b"(" * 1000,
    ],
)
def test_a_pickle_of_anything_else_is_left_to_torch_which_rejects_it(tmp_path, pickled):
    write_pt(tmp_path / "x.pt", pickled)
    assert list_stored_tensors(tmp_path / "x.pt") is None
    with pytest.raises(CorruptRecordError, match="x.pt: "):
        read_tensor(tmp_path / "x.pt")


@given(data=st.data())
def test_a_damaged_archive_of_tensors_never_raises_anything_else(tmp_path_factory, data):
    stream = io.BytesIO()
    torch.save({"a": torch.arange(4.0), "b": torch.ones(2, 2).half()}, stream)
    content = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("pt") / "x.pt"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    try:
        tensors = list_stored_tensors(path) or {}
    except CorruptRecordError:
        return
    for tensor in tensors.values():
        if tensor.start is not None:
            size = int(np.prod(tensor.shape)) * tensor.dtype.itemsize
            assert 0 <= tensor.start <= tensor.start + size <= len(path.read_bytes())


def test_a_pickled_call_runs_nothing(tmp_path, monkeypatch):
    class RunsCode:
        def __reduce__(self):
            return os.mkdir, ("ran",)

    monkeypatch.chdir(tmp_path)
    write_pt(tmp_path / "x.pt", pickle.dumps({"a": RunsCode()}, protocol=2))
    assert list_stored_tensors(tmp_path / "x.pt") is None
    assert not (tmp_path / "ran").exists()
