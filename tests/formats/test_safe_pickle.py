"""Pickles: trusted files only, plain data only, never code."""

from __future__ import annotations

import collections
import os
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from karsl.errors import ConfigError, CorruptRecordError
from karsl.formats import open_clips
from karsl.formats.safe_pickle import load_safe_pickle


class Calls:
    """Pickles to a call of a function."""

    def __init__(self, function, *args, state=None):
        self.call = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.call


@pytest.fixture
def dump(tmp_path):
    def write(value, protocol=4):
        path = tmp_path / "data.pkl"
        path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol=protocol))
        return path

    return write


PLAIN = {"a": [1, 2.5, True, None, "text"], "b": (np.arange(6).reshape(2, 3), np.float32(0.5), np.int64(-3)), "c": b"raw"}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_of_every_protocol_are_rebuilt(dump, protocol):
    found = load_safe_pickle(dump({**PLAIN, "d": collections.OrderedDict(x=1)}, protocol), trusted=True)
    assert found["a"] == PLAIN["a"]
    assert found["d"] == {"x": 1}
    assert found["b"][0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["b"][1:] == (0.5, -3)
    assert found["c"] == b"raw"


def test_a_file_that_is_not_trusted_is_not_opened(dump):
    with pytest.raises(ConfigError, match="is a pickle; if you trust its origin, add --trust-pickle .*pkl"):
        open_clips(dump(PLAIN))


HOSTILE = {
    "a call": lambda mark: Calls(os.mkdir, mark),
    "a call inside": lambda mark: {"annotations": [{"keypoint": Calls(os.mkdir, mark)}]},
    "eval": lambda mark: Calls(eval, f"__import__('os').mkdir({mark!r})"),
    "getattr": lambda mark: Calls(getattr, "text", "upper"),
    "an array of objects": lambda mark: np.array([Calls(os.mkdir, mark)], dtype=object),
    "an array of objects that are plain": lambda mark: np.array([{}, []], dtype=object),
    "a class of numpy": lambda mark: Calls(np.memmap, mark, "u1", "w+"),
    "a set": lambda mark: {1, 2},
    "a bare type": lambda mark: np.dtype("f4"),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_trusted_file_still_cannot_run_code(what, protocol, dump, tmp_path):
    mark = str(tmp_path / "it_ran")
    path = dump(HOSTILE[what](mark), protocol)
    with pytest.raises(CorruptRecordError, match="it was not read"):
        load_safe_pickle(path, trusted=True)
    assert not os.path.exists(mark)


@pytest.mark.parametrize(
    "code",
    [
        b"cnumpy\nndarray\n(NX\x01\x00\x00\x00a\x8c\x01b\x86b.",  # state set on a function
        b"c_codecs\nencode\nN}\x8c\x08__code__\x8c\x01xs\x86b.",
        b"cnumpy.core.multiarray\n_reconstruct\n(I1\no.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"\x80\x04\x82\x01.",  # a registered extension
        b"Pwhere\n.",  # a persistent id
        b"",
        b"\x80\x04",
        b"hello",
    ],
)
def test_hand_written_programs_are_rejected(code, dump):
    with pytest.raises(CorruptRecordError, match="it was not read"):
        load_safe_pickle(dump(code), trusted=True)


@given(arrays.arrays(st.sampled_from(["<f4", "<f8", ">f4", "<f2", "<i8", "u1", "?"]), arrays.array_shapes(max_dims=4)))
def test_arrays_of_any_shape_type_and_order_come_back(array):
    with tempfile.TemporaryDirectory() as folder:
        for value in (array, np.asfortranarray(array)):
            path = Path(folder) / "x.pkl"
            path.write_bytes(pickle.dumps(value, protocol=5))
            found = load_safe_pickle(path, trusted=True)
            assert found.dtype == array.dtype
            np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    "content",
    [b"\x80\x04Nr\xff\xff\xff\x7f.", b"Np9999999999\n.", b"\x80\x04\x8e" + (1 << 60).to_bytes(8, "little") + b"abc."],
    ids=["LONG_BINPUT", "PUT", "BINBYTES8"],
)
def test_a_file_that_asks_for_more_memory_than_it_has_bytes_is_rejected(dump, content):
    with pytest.raises(CorruptRecordError, match="not a pickle of plain data"):
        load_safe_pickle(dump(content), trusted=True)


def nested(levels: int, leaf) -> list:
    """Lists of which each contains the next one twice: 2**levels values in a few hundred bytes."""
    for _ in range(levels):
        leaf = [leaf, leaf]
    return leaf


def test_a_list_that_is_used_several_times_is_built_once(dump):
    found = load_safe_pickle(dump([[np.arange(3)] * 2, (1, 1)] * 2), trusted=True)
    assert found[0] is found[2]
    assert found[0][0] is found[0][1]


@pytest.mark.parametrize("key", [lambda value: value, lambda value: {"keypoints": value, "scores": value}])
def test_a_few_bytes_that_describe_numbers_without_end_are_rejected(key, dump):
    with pytest.raises(CorruptRecordError, match="by lists that contain others several times"):
        load_safe_pickle(dump(key(nested(60, 1.5))), trusted=True)


def test_a_list_that_contains_itself_or_nests_too_deeply_is_rejected(dump):
    cycle: list = []
    cycle.append(cycle)
    with pytest.raises(CorruptRecordError, match="a list that contains itself"):
        load_safe_pickle(dump(cycle), trusted=True)
    with pytest.raises(CorruptRecordError, match="it was not read"):
        load_safe_pickle(dump(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."), trusted=True)


def test_half_a_character_is_rejected(dump):
    with pytest.raises(CorruptRecordError, match="surrogates not allowed"):
        load_safe_pickle(dump({"frame_dir": "\ud800"}), trusted=True)
