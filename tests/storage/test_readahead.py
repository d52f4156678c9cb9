"""Asking for pages beforehand: once for each clip, and never a reason to fail."""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from karsl.skeletons import get_skeleton
from karsl.storage import write_pack
from karsl.storage.packed import Pack
from karsl.storage.readahead import Readahead
from karsl.testing.strategies import make_clip

STARTS, LENGTHS = np.array([0, 40, 90]), np.array([40, 50, 30])


@pytest.fixture
def pack(tmp_path):
    clips = [make_clip(int(t), "karsl_184", seed=int(t)) for t in LENGTHS]
    arrays = [np.concatenate([np.nan_to_num(c["keypoint"]), c["keypoint_score"][..., None]], -1) for c in clips]
    return Pack(write_pack(tmp_path, arrays, LENGTHS, skeleton=get_skeleton("karsl_184")))


@pytest.fixture
def asked(monkeypatch):
    """What the system was asked for: (offset, bytes)."""
    found = []

    def note(fd, begin, size, advice):
        assert advice == os.POSIX_FADV_WILLNEED
        found.append((begin, size))
        return real(fd, begin, size, advice)

    real = os.posix_fadvise
    monkeypatch.setattr(os, "posix_fadvise", note)
    return found


def bytes_of(start, length):
    header, row = 128, 184 * 4 * 2
    return header + start * row, length * row


def test_a_clip_is_asked_for_once(pack, asked):
    assert pack.advise(STARTS[:2], LENGTHS[:2])
    assert pack.advise(STARTS[1:], LENGTHS[1:])
    assert not pack.advise(STARTS, LENGTHS)
    assert asked == [bytes_of(0, 40), bytes_of(40, 50), bytes_of(90, 30)]


def test_the_memory_of_what_was_asked_goes_after_the_first_pass(pack, asked):
    passes = 0
    while pack._readahead._asked is not None:
        pack.advise(STARTS, LENGTHS)
        passes += 1
    assert passes == 2 + 2048 // len(STARTS)  # what was asked ahead is asked again by its batch: that ends nothing
    assert not pack.advise(STARTS, LENGTHS)
    assert len(asked) == len(STARTS)


def test_a_system_without_advice_is_left_alone(pack, monkeypatch):
    monkeypatch.delattr(os, "posix_fadvise")
    again = Pack(pack.path)
    assert not again.advise(STARTS, LENGTHS)
    assert not Readahead(np.zeros((3, 4))).ask(np.array([0]), np.array([2]))


def test_advice_that_the_system_refuses_is_no_error(pack, monkeypatch):
    def refuse(*_):
        raise OSError(5, "no")

    monkeypatch.setattr(os, "posix_fadvise", refuse)
    pack.advise(STARTS, LENGTHS)
    pack.path.rename(pack.path.with_name("elsewhere"))
    pack.advise(STARTS + 1, LENGTHS)
    pack.clip(0, 40)


def test_a_system_without_threads_to_spare_is_left_alone(pack, asked, monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    pack.advise(STARTS, LENGTHS, in_background=True)
    assert not pack.advise(STARTS + 1, LENGTHS)
    assert asked == []


def pages_in_memory(mapped) -> np.ndarray:
    """Which pages of a mapped file the system holds, bool; asking brings none there."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "mincore"):
        pytest.skip("this system does not tell what is in memory")
    address, size = mapped.ctypes.data, mapped.nbytes
    pages = np.zeros(-(-size // mmap.PAGESIZE), np.uint8)
    found = libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), pages.ctypes.data_as(ctypes.c_void_p))
    if found:
        pytest.skip(f"this file system does not tell what is in memory: {os.strerror(ctypes.get_errno())}")
    return pages & 1 == 1


@pytest.mark.parametrize("in_background", [False, True])
def test_what_was_asked_for_comes_into_memory_and_nothing_far_from_it(tmp_path, in_background):
    length, many = 40, 1000  # 59 MB: some disks read many MiB more than they are asked for
    clip = make_clip(length, "karsl_184", seed=0)
    array = np.concatenate([np.nan_to_num(clip["keypoint"]), clip["keypoint_score"][..., None]], -1)
    path = Path(write_pack(tmp_path, [array] * many, np.full(many, length), skeleton=get_skeleton("karsl_184")))
    pack = Pack(path)
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    mapped = np.memmap(path, np.uint8, "r")
    if pages_in_memory(mapped).any():
        pytest.skip("files of this folder stay in memory")
    begin, size = bytes_of(900 * length, length)
    wanted = slice(begin // mmap.PAGESIZE, -(-(begin + size) // mmap.PAGESIZE))
    pack.advise(np.array([900 * length]), np.array([length]), in_background=in_background)
    deadline = time.monotonic() + 300
    while not pages_in_memory(mapped)[wanted].all() and time.monotonic() < deadline:
        time.sleep(0.01)
    found = pages_in_memory(mapped)
    assert found[wanted].all()
    assert not found[: len(found) // 2].any()


def test_packs_of_other_content_have_another_digest(pack, tmp_path):
    clip = pack.clip(0, 40).astype(np.float32)
    other = Pack(write_pack(tmp_path / "other", [clip], np.array([40]), skeleton=get_skeleton("karsl_184")))
    same = Pack(write_pack(tmp_path / "same", [clip], np.array([40]), skeleton=get_skeleton("karsl_184")))
    assert pack.digest == Pack(pack.path).digest
    assert other.digest == same.digest != pack.digest
    assert 0 <= pack.digest < 2**63
