"""Asking for pages beforehand: once for each clip, and never a reason to fail."""

from __future__ import annotations

import mmap

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


class Calls:
    """Stands for a mapping's `madvise` of pages that will be needed, and notes what it is asked."""

    def __init__(self, error=None):
        self.ranges, self.error = [], error

    def __call__(self, start, length):
        self.ranges.append((start, length))
        if self.error:
            raise self.error


def test_a_clip_is_asked_for_once_in_whole_pages(pack, monkeypatch):
    calls = Calls()
    monkeypatch.setattr(pack._readahead, "_advise", calls)
    pack.advise(STARTS[:2], LENGTHS[:2])
    pack.advise(STARTS[1:], LENGTHS[1:])
    row, header, page = 184 * 4 * 2, 128, mmap.PAGESIZE
    wanted = []
    for start, length in zip(STARTS.tolist(), LENGTHS.tolist(), strict=True):
        first = (header + start * row) // page * page
        wanted.append((first, header + (start + length) * row - first))
    assert calls.ranges == wanted


def test_the_memory_of_what_was_asked_goes_after_the_first_pass(pack):
    for _ in range(2):
        pack.advise(STARTS, LENGTHS)
    assert pack._readahead._asked is None
    pack.advise(STARTS, LENGTHS)


def test_a_system_without_madvise_is_left_alone(pack, monkeypatch):
    monkeypatch.delattr(mmap, "MADV_WILLNEED", raising=False)
    again = Pack(pack.path)
    again.advise(STARTS, LENGTHS)
    assert again._readahead._asked is None
    Readahead(np.zeros((3, 4))).ask(np.array([0]), np.array([2]))


@pytest.mark.parametrize("error", [OSError(5, "no"), ValueError("closed")])
def test_advice_that_the_system_refuses_is_no_error(pack, monkeypatch, error):
    calls = Calls(error)
    monkeypatch.setattr(pack._readahead, "_advise", calls)
    pack.advise(STARTS, LENGTHS)
    pack.advise(STARTS, LENGTHS)
    assert len(calls.ranges) == 1


def test_packs_of_other_content_have_another_digest(pack, tmp_path):
    clip = pack.clip(0, 40).astype(np.float32)
    other = Pack(write_pack(tmp_path / "other", [clip], np.array([40]), skeleton=get_skeleton("karsl_184")))
    same = Pack(write_pack(tmp_path / "same", [clip], np.array([40]), skeleton=get_skeleton("karsl_184")))
    assert pack.digest == Pack(pack.path).digest
    assert other.digest == same.digest != pack.digest
    assert 0 <= pack.digest < 2**63
