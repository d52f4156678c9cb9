"""One rule for names in a folder: what is hidden, foreign, special or a broken link is not read, and named once."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from karsl.io.file_list import Unread, has_file, is_hidden, list_folder, list_tree

needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_hidden_and_foreign_names_are_not_read_at_any_depth(tmp_path):
    touch(tmp_path, "a/0.npy", "a/._0.npy", ".DS_Store", "__MACOSX/a/0.npy", ".ipynb_checkpoints/0.npy", "Thumbs.db")
    unread = Unread()
    assert list(list_tree(tmp_path, unread)) == ["a/0.npy"]
    assert unread.notes() == (
        "5 hidden files or folders are not read: '.DS_Store', '.ipynb_checkpoints', 'Thumbs.db' and 2 more",
    )
    assert not has_file(tmp_path / "__MACOSX", (".npz",))
    assert is_hidden("__MACOSX")


@needs_links
def test_special_files_and_broken_links_are_named_and_never_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    touch(tmp_path, "a.npz", "inner/b.npz")
    os.mkfifo("pipe.npz")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket.npz")
        os.symlink("nowhere", "gone.npz")
        os.symlink("a.npz", "link.npz")
        os.symlink("itself.npz", "itself.npz")
        os.symlink("..", "inner/up")
        unread = Unread()
        assert list(list_tree(Path("."), unread)) == ["a.npz", "link.npz", "inner/b.npz"]
    assert set(unread.notes()) == {
        "2 pipes, sockets or devices are not read: 'pipe.npz', 'socket.npz'",
        "1 link without a target is not read: 'gone.npz'",
        "1 folder or file that cannot be opened is not read: 'itself.npz'",
        "1 link to a folder that contains it is not read: 'inner/up'",
    }


def test_suffixes_count_in_any_case_and_others_are_named(tmp_path):
    touch(tmp_path, "a.NPZ", "b.npz", "c.txt", "labels.csv")
    unread = Unread()
    found = unread.with_suffix(list_folder(tmp_path, unread)[1], (".npz",), expected=("labels.csv",))
    assert found == ["a.NPZ", "b.npz"]
    assert unread.notes() == ("1 file of another type is not read: 'c.txt'",)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are Unicode there")
def test_names_that_are_not_utf_8_are_named(tmp_path):
    open(os.fsencode(tmp_path) + b"/caf\xe9.npz", "wb").close()
    unread = Unread()
    assert unread.with_suffix(list_folder(tmp_path, unread)[1], (".npz",)) == []
    assert unread.notes() == (r"1 file with a name that is not UTF-8 is not read: 'caf\\xe9.npz'",)
