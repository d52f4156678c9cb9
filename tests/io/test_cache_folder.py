"""Folder of the user's caches, for users with and without a home."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import platformdirs
import pytest

from karsl.io.cache_folder import user_cache_folder

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX only")


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_user_with_a_home_has_the_folder_of_the_system(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert user_cache_folder() == tmp_path / "cache" / "karsl"


def test_a_user_whose_home_cannot_be_written_has_a_private_temporary_folder(temporary, monkeypatch):
    (temporary / "home").write_text("a file, in which even root creates no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(temporary / "home" / ".cache"))
    folder = user_cache_folder()
    assert folder == temporary / f"karsl-{os.geteuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert user_cache_folder() == folder, "used again by the next process"


@pytest.mark.parametrize("answer", [RuntimeError("could not determine the home directory"), Path("~/.cache/karsl")])
def test_a_user_without_a_home_has_a_private_temporary_folder(temporary, monkeypatch, answer):
    def user_cache_path(name: str) -> Path:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(platformdirs, "user_cache_path", user_cache_path)
    assert user_cache_folder() == temporary / f"karsl-{os.geteuid()}"


@pytest.mark.parametrize("planted", ["folder that others may write", "link", "file"])
def test_a_planted_temporary_folder_is_not_used(temporary, monkeypatch, planted):
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    (temporary / "other").mkdir()
    (temporary / "other").chmod(0o777)
    path = temporary / f"karsl-{os.geteuid()}"
    if planted == "file":
        path.write_text("")
    elif planted == "link":
        path.symlink_to(temporary / "other", target_is_directory=True)
    else:
        (temporary / "other").rename(path)
    folder = user_cache_folder()
    assert folder != path
    assert folder.parent == temporary
    assert folder.stat().st_mode & 0o777 == 0o700
