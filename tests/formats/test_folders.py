"""Names of files: safe, unique, reproducible; classes from folders; sidecars."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from karsl.errors import DatasetNotFoundError
from karsl.formats.folders import (
    SIDECAR,
    UniqueNames,
    class_folders,
    files_with_suffix,
    read_sidecar,
    records_of_folders,
    safe_name,
)


@given(st.text())
def test_a_safe_name_is_one_visible_component(text):
    name = safe_name(text)
    assert name
    assert not name.startswith(".")
    assert not set(name) & set('/\\:*?"<>|\0 ')


@given(st.lists(st.sampled_from(["a", "A", "x/a", "b", "a-2"]), max_size=8))
def test_unique_names_differ_in_any_case(clip_ids):
    names = UniqueNames()
    found = [names.name("folder", clip_id).lower() for clip_id in clip_ids]
    assert len(set(found)) == len(found)


@given(st.lists(st.text(max_size=4) | st.sampled_from(["a", "A", "a_1", "a_0", "b c", "b/c"]), max_size=6))
def test_class_folders_are_reproducible_and_one_per_class(classes):
    folders = class_folders(classes)
    assert len({folder.casefold() for folder in folders}) == len(classes)
    assert class_folders(classes) == folders


def test_a_class_called_like_the_numbered_name_of_another_gets_its_own_folder():
    assert class_folders(["a", "A", "a_1"]) == ("a_0", "A_1", "a_1-2")


def test_files_of_a_folder_are_sorted_without_hidden_ones(tmp_path):
    for name in ("b.tar", "a.tar", ".c.part.tar", "d.txt"):
        (tmp_path / name).touch()
    notes = ("1 hidden file or folder is not read: '.c.part.tar'", "1 file of another type is not read: 'd.txt'")
    assert files_with_suffix(tmp_path, ".tar", expected="") == (tmp_path, [tmp_path / "a.tar", tmp_path / "b.tar"], notes)
    assert files_with_suffix(tmp_path / "d.txt", ".tar", expected="") == (tmp_path, [tmp_path / "d.txt"], ())
    with pytest.raises(DatasetNotFoundError, match="no .npz in .*; expected one archive per class"):
        files_with_suffix(tmp_path, ".npz", expected="one archive per class")


def test_a_folder_without_sidecar_or_files_is_reported(tmp_path):
    assert read_sidecar(tmp_path) is None
    with pytest.raises(DatasetNotFoundError, match="expected one folder per class, as in 'hello/001.pose'"):
        records_of_folders(tmp_path, ".pose")
    assert SIDECAR == "clips.json"
