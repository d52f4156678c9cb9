"""State as plain values and back."""

from __future__ import annotations

import io
from collections import OrderedDict, deque
from pathlib import PurePosixPath

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.logging import HistoryBuffer

from karsl.engine.hooks.plain import NotState, from_plain, to_plain

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.sets(st.integers())
    | st.complex_numbers(allow_nan=False)
)
STATES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
)


def through_a_file(value):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@given(STATES)
def test_plain_values_stay_as_they_are(value):
    dropped = []
    assert from_plain(through_a_file(to_plain(value, dropped))) == value
    assert dropped == []


def test_a_history_buffer_survives_with_values_counts_and_limit():
    buffer = HistoryBuffer([1.5, 2.5, 0.1], [1, 2, 3], max_length=7)
    back = from_plain(through_a_file(to_plain({"loss": buffer}, [])))["loss"]
    assert [array.tolist() for array in back.data] == [[1.5, 2.5, 0.1], [1, 2, 3]]
    assert back.max_length == 7
    back.update(4.0)
    assert back.current() == 4.0


@pytest.mark.parametrize(
    "array", [np.arange(6.0).reshape(2, 3), np.array(["a", "بيت"]), np.array([], np.int32), np.array([True])]
)
def test_arrays_survive_with_type_and_shape(array):
    back = from_plain(through_a_file(to_plain(array, [])))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert (back == array).all()


def test_relatives_of_built_ins_become_built_ins():
    value = {"lr": np.float64(0.5), "ids": deque([1, 2]), "path": PurePosixPath("a/b"), "n": np.int32(3)}
    plain = to_plain(value, [])
    assert plain == {"lr": 0.5, "ids": [1, 2], "path": "a/b", "n": 3}
    assert [type(item) for item in plain.values()] == [float, list, str, int]


def test_what_is_no_state_is_left_out_and_named():
    dropped = []
    value = {"good": 1, "fn": print, "deep": {"file": io.BytesIO(), "list": [1, print]}}
    assert to_plain(value, dropped) == {"good": 1, "deep": {}}
    assert dropped == ["fn", "deep.file", "deep.list"]


def test_a_value_that_is_no_state_at_all_is_refused():
    with pytest.raises(NotState, match="builtin_function"):
        to_plain(print, [])


def test_tensors_and_ordered_dicts_stay_themselves():
    tensor = torch.ones(2)
    plain = to_plain(OrderedDict(weight=tensor), [])
    assert isinstance(plain, OrderedDict)
    assert plain["weight"] is tensor
