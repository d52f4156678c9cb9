"""`.pt` files: tensors alone are read, and nothing in them runs."""

from __future__ import annotations

import os
import pickle
import zipfile

import pytest
import torch

from karsl.errors import CorruptRecordError
from karsl.io.torch_files import list_tensors, read_tensor


def test_one_tensor_and_a_dict_of_them_are_listed_and_read(tmp_path):
    one, many = tmp_path / "one.pt", tmp_path / "many.pt"
    torch.save(torch.ones(2, 3, dtype=torch.bfloat16), one)
    torch.save({"a": torch.arange(4), "b": torch.zeros(2, 2, dtype=torch.float16)}, many)
    assert [(m.key, m.shape, m.dtype.kind) for m in list_tensors(one)[0]] == [(None, (2, 3), "f")]
    assert [(m.key, m.shape, m.dtype.name) for m in list_tensors(many)[0]] == [
        ("a", (4,), "int64"),
        ("b", (2, 2), "float16"),
    ]
    assert read_tensor(one).tolist() == [[1, 1, 1], [1, 1, 1]]
    assert read_tensor(many, "a").tolist() == [0, 1, 2, 3]
    torch.save(torch.ones(2), one, _use_new_zipfile_serialization=False)
    assert (list_tensors(one)[0][0].shape, read_tensor(one).tolist()) == ((2,), [1, 1])


class RunsCode:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_a_file_that_would_run_code_is_rejected_without_running_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"a": RunsCode()}, "x.pt")
    (tmp_path / "y.pt").write_bytes(pickle.dumps(RunsCode()))
    for name in ("x.pt", "y.pt"):
        for read in (list_tensors, read_tensor):
            with pytest.raises(CorruptRecordError, match=f"{name}: no readable .pt file of tensors"):
                read(name)
    assert not (tmp_path / "ran").exists()


def test_a_value_that_is_no_tensor_is_reported(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"a": torch.zeros(1), "note": "hello"}, path)
    members, problems = list_tensors(path)
    assert [m.key for m in members] == ["a"]
    assert "entry 'note' is a str; save one tensor per clip" in problems[0]
    with pytest.raises(CorruptRecordError, match="no tensor 'b'; it holds a, note"):
        read_tensor(path, "b")
    with pytest.raises(CorruptRecordError, match="holds a dict, not a tensor"):
        read_tensor(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_tensor(tmp_path / "none.pt")


def test_a_tensor_of_numbers_that_numpy_lacks_is_named(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"a": torch.zeros(2, 3, 4).to(torch.float8_e4m3fn), "b": torch.zeros(2, 3, 4)}, path)
    members, problems = list_tensors(path)
    assert [m.key for m in members] == ["b"]
    assert problems == [f"{path}: tensor 'a' holds torch.float8_e4m3fn, which numpy lacks; save it as float16 or float32"]


def test_a_truncated_file_is_rejected(tmp_path):
    path = tmp_path / "x.pt"
    torch.save(torch.zeros(500), path)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(CorruptRecordError, match="no readable .pt file"):
        read_tensor(path)


def test_a_pickle_that_ends_within_a_number_is_rejected(tmp_path):
    torch.save({"a": torch.zeros(3)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as sound, zipfile.ZipFile(tmp_path / "b.pt", "w") as cut:
        for info in sound.infolist():
            content = sound.read(info)
            cut.writestr(info, b"\x80\x02J\1" if info.filename.endswith("data.pkl") else content)
    with pytest.raises(CorruptRecordError, match="b.pt"):
        read_tensor(tmp_path / "b.pt", "a")
