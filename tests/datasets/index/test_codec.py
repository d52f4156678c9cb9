"""The codec restores records exactly, or rejects them; it never runs code."""

from __future__ import annotations

import collections
import contextlib
import enum
import math
import struct
from pathlib import Path

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from karsl.datasets.index.codec import decode, decode_pickled, encode, encode_pickled
from karsl.errors import UnsafeRecordError

RECORD = {
    "clip_id": "03_01_0071_(01_12_16_15_53_03)_c",
    "label": 70,
    "signer": "01",
    "box": (0.5, [1, (2,)], ()),
    "points": np.arange(6, dtype=np.float32).reshape(2, 3),
    "arabic": "\u0645\u0631\u062d\u0628\u0627",
    3: None,
}


def same(a: object, b: object) -> bool:
    """Equal in value and in every type, NaN equal to itself, -0.0 different from 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a.items(), b.items(), strict=True))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape) == (b.dtype, b.shape) and a.tobytes() == b.tobytes()
    if isinstance(a, np.generic):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return a == b


arrays = hnp.arrays(
    st.one_of(
        hnp.boolean_dtypes(), hnp.integer_dtypes(endianness="?"), hnp.floating_dtypes(endianness="?"),
        hnp.complex_number_dtypes(), hnp.datetime64_dtypes(), hnp.unicode_string_dtypes(), hnp.byte_string_dtypes(),
    ),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)  # fmt: skip
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.binary(max_size=8),
    st.text(st.characters(), max_size=8), st.text(max_size=4).map(np.str_),
    st.integers(-(2**63), 2**63 - 1).map(np.int64), st.floats(width=32).map(np.float32), st.floats().map(np.float64),
    st.booleans().map(np.bool_),
)  # fmt: skip
values = st.recursive(
    scalars | arrays,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(max_size=4) | st.integers(-3, 300), values, max_size=5))
def test_every_record_is_restored_with_the_same_values_and_types(record):
    assert same(decode(encode(record)), record)


def test_a_known_record_is_restored():
    assert same(decode(memoryview(encode(RECORD))), RECORD)


def test_an_integer_beyond_64_bits_is_restored():
    for value in (2**64, -(2**63) - 1, 10**40, 2**64 - 1, -(2**63)):
        assert decode(encode({"n": value}))["n"] == value


def test_a_file_name_that_is_not_utf8_is_restored():
    name = b"clip\xff.npz".decode("utf-8", "surrogateescape")
    assert decode(encode({"p": name, "t": (name,)})) == {"p": name, "t": (name,)}


def test_a_string_with_a_trailing_null_is_restored():
    assert decode(encode([np.str_("a\0"), np.bytes_(b"a\0")])) == [np.str_("a\0"), np.bytes_(b"a\0")]


def test_a_decoded_array_can_be_written_without_touching_the_source():
    data = bytearray(encode(RECORD))
    decode(data)["points"][:] = -1
    assert same(decode(data), RECORD)


def test_a_fortran_array_stays_fortran():
    array = np.asfortranarray(np.arange(6).reshape(2, 3))
    back = decode(encode({"a": array}))["a"]
    assert back.flags.f_contiguous
    assert not back.flags.c_contiguous
    assert (back == array).all()


class Color(enum.IntEnum):
    RED = 1


@pytest.mark.parametrize(
    "value",
    [
        {1}, Path("a"), object(), 1j, Color.RED, bytearray(b"a"), memoryview(b"a"), collections.OrderedDict(a=1),
        msgpack.ExtType(5, b""), msgpack.Timestamp(1), np.array([object()]), np.array([(1,)], dtype=[("a", "i4")]),
        np.ma.array([1]), range(3), print, collections.namedtuple("P", "x")(1),
    ],
    ids=lambda v: type(v).__name__,
)  # fmt: skip
@pytest.mark.parametrize("nest", [lambda v: v, lambda v: [v], lambda v: ({"k": (v,)},)], ids=["flat", "list", "deep"])
def test_a_value_without_an_exact_form_is_rejected(value, nest):
    with pytest.raises(UnsafeRecordError):
        encode({"v": nest(value)})
    assert decode(encode(RECORD)) is not None  # the codec still works after an error


def test_tuples_nested_deeply_are_restored_or_rejected():
    for depth in (10, 60, 70, 499, 600, 5000):
        value: object = 1
        for _ in range(depth):
            value = (value,)
        try:
            data = encode({"v": value})
        except UnsafeRecordError:
            assert depth > 60
        else:
            assert decode(data) == {"v": value}


def test_a_record_that_contains_itself_is_rejected():
    record: dict = {}
    record["self"] = record
    with pytest.raises(UnsafeRecordError, match="64"):
        encode(record)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


def test_the_safe_decoder_does_not_run_a_pickle():
    with pytest.raises(ValueError, match="extension type 5"):
        decode(encode_pickled(Bomb()))


def test_an_array_of_objects_in_foreign_bytes_is_rejected():
    head = msgpack.packb(["|O", [1], "C"])
    evil = msgpack.packb(msgpack.ExtType(3, len(head).to_bytes(4, "little") + head + b"\0" * 8))
    with pytest.raises(ValueError, match="not allowed"):
        decode(evil)


def test_a_pickled_record_is_restored_from_trusted_memory():
    assert decode_pickled(encode_pickled({"when": Color.RED})) == {"when": Color.RED}


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40))
def test_arbitrary_bytes_give_data_or_an_error_and_no_crash(data):
    with contextlib.suppress(ValueError, TypeError, msgpack.UnpackException, struct.error):
        decode(data)
