"""Read-ahead never fails, and requests the clips of a pack together at their first touch."""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from karsl.io import readahead
from karsl.io.pack_reader import Pack
from karsl.io.readahead import FileRanges, advise, is_in_memory, row_layout
from karsl.pack import write_clips
from karsl.skeletons import get_skeleton
from karsl.testing.strategies import make_clip

STARTS, LENGTHS = np.array([0, 40, 90]), np.array([40, 50, 30])
pytestmark = pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system accepts no advice")


@pytest.fixture
def pack(tmp_path):
    clips = [make_clip(int(t), "karsl_184", seed=int(t)) for t in LENGTHS]
    arrays = [np.concatenate([np.nan_to_num(c["keypoint"]), c["keypoint_score"][..., None]], -1) for c in clips]
    return Pack(write_clips(tmp_path, arrays, LENGTHS, skeleton=get_skeleton("karsl_184")), verify="first touch")


@pytest.fixture
def asked(pack, monkeypatch):
    """Requests to the system, (offset, bytes)."""
    found = []

    def note(fd, begin, size, advice):
        assert advice == os.POSIX_FADV_WILLNEED
        if os.readlink(f"/proc/self/fd/{fd}") == str(pack.path):  # not of a thread that another test left
            found.append((begin, size))
        return real(fd, begin, size, advice)

    real = os.posix_fadvise
    monkeypatch.setattr(os, "posix_fadvise", note)
    monkeypatch.setattr(readahead, "is_in_memory", lambda parts: False)  # files just written are
    return found


def bytes_of(start, length):
    header, row = 128, 184 * 4 * 2
    return header + start * row, length * row


def test_clips_are_requested_together_at_their_first_touch(pack, asked):
    pack.verify(STARTS[:2], LENGTHS[:2])
    assert asked == [bytes_of(0, 40), bytes_of(40, 50)]
    pack.verify(STARTS, LENGTHS)
    pack.verify(STARTS, LENGTHS)
    assert len(asked) == 2, "one clip alone is simply read"


def test_clips_in_memory_are_not_requested(pack, asked, monkeypatch):
    monkeypatch.setattr(readahead, "is_in_memory", lambda parts: parts[0].path == pack.path and len(parts[0].ranges) == 3)
    pack.verify(STARTS, LENGTHS)
    assert asked == []


def test_rows_of_a_file_are_found_by_its_header(pack):
    assert row_layout(str(pack.path)) == bytes_of(0, 1)
    pack.path.write_bytes(b"not that")
    row_layout.cache_clear()
    with pytest.raises(ValueError, match=r"not a \.npy"):
        row_layout(str(pack.path))


def test_a_system_without_advice_is_left_alone(pack, monkeypatch):
    monkeypatch.delattr(os, "posix_fadvise")
    pack.verify(STARTS, LENGTHS)


def test_advice_that_the_system_rejects_is_no_error(pack, monkeypatch):
    def refuse(*_):
        raise OSError(5, "no")

    monkeypatch.setattr(os, "posix_fadvise", refuse)
    pack.verify(STARTS, LENGTHS)
    advise([FileRanges("no such file", [(0, 1)]), FileRanges(pack.path, [(0, 1)])])


def pages_in_memory(mapped) -> np.ndarray:
    """Return which pages of a mapped file are in memory, bool, without reading any."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "mincore"):
        pytest.skip("this system does not report what is in memory")
    address, size = mapped.ctypes.data, mapped.nbytes
    pages = np.zeros(-(-size // mmap.PAGESIZE), np.uint8)
    found = libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), pages.ctypes.data_as(ctypes.c_void_p))
    if found:
        pytest.skip(f"this file system does not report what is in memory: {os.strerror(ctypes.get_errno())}")
    return pages & 1 == 1


def test_requested_bytes_are_read_into_memory_and_distant_ones_are_not(tmp_path):
    length, many = 40, 1000  # 59 MB: some disks read many MiB more than they are asked for
    clip = make_clip(length, "karsl_184", seed=0)
    array = np.concatenate([np.nan_to_num(clip["keypoint"]), clip["keypoint_score"][..., None]], -1)
    path = Path(write_clips(tmp_path, [array] * many, np.full(many, length), skeleton=get_skeleton("karsl_184")))
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    mapped = np.memmap(path, np.uint8, "r")
    if pages_in_memory(mapped).any():
        pytest.skip("files of this folder stay in memory")
    begin, size = bytes_of(900 * length, length)
    wanted = slice(begin // mmap.PAGESIZE, -(-(begin + size) // mmap.PAGESIZE))
    thread = threading.Thread(target=advise, args=([FileRanges(path, [(begin, size)])],))
    thread.start()
    thread.join()
    deadline = time.monotonic() + 300
    while not pages_in_memory(mapped)[wanted].all() and time.monotonic() < deadline:
        time.sleep(0.01)
    found = pages_in_memory(mapped)
    assert found[wanted].all()
    assert not found[: len(found) // 2].any()


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="this system does not report what is in memory")
def test_read_bytes_are_in_memory_and_dropped_ones_are_not(tmp_path):
    path, other = tmp_path / "a.bin", tmp_path / "b.bin"
    for file in (path, other):
        file.write_bytes(bytes(1 << 20))
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        file.read()
        try:
            os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
        except OSError as error:
            pytest.skip(f"this file system does not report what is in memory: {error}")
    everywhere = [(at, 10) for at in range(0, 1 << 20, 1 << 16)]
    assert is_in_memory([FileRanges(path, everywhere), FileRanges(other, everywhere)])
    assert not is_in_memory([FileRanges(path, [(1 << 20, 1)])]), "beyond the end"
    assert not is_in_memory([FileRanges(path, everywhere), FileRanges(tmp_path / "none", everywhere)])
    with other.open("rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if pages_in_memory(np.memmap(other, np.uint8, "r")).any():
        pytest.skip("files of this folder stay in memory")
    assert not is_in_memory([FileRanges(path, everywhere), FileRanges(other, everywhere)])


def test_packs_of_other_content_have_another_digest(pack, tmp_path):
    clip = pack.clip(0, 40).astype(np.float32)
    other = Pack(write_clips(tmp_path / "other", [clip], np.array([40]), skeleton=get_skeleton("karsl_184")))
    same = Pack(write_clips(tmp_path / "same", [clip], np.array([40]), skeleton=get_skeleton("karsl_184")))
    assert pack.digest == Pack(pack.path).digest
    assert other.digest == same.digest != pack.digest
    assert 0 <= pack.digest < 2**63
