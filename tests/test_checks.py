"""Checks of arguments: plain values, or an error that names owner, argument and value."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.checks import check_clip_len, check_int, check_number, check_prob, check_range
from karsl.errors import ConfigError


def test_checks_return_plain_numbers():
    assert check_range("", "r", [1, 2]) == (1.0, 2.0)
    assert check_prob("", "p", np.float32(0.5)) == 0.5
    assert check_clip_len("", np.int64(5)) == 5
    assert check_number("", "n", np.float32(-0.5)) == -0.5


@pytest.mark.parametrize("value", ["a", None, [1], np.nan, np.inf, -1])
def test_a_number_is_finite_and_large_enough(value):
    with pytest.raises(ConfigError, match="str: n=.*; expected a finite number of at least 0"):
        check_number("", "n", value, low=0)


@pytest.mark.parametrize("value", [(1, 2, 3), (2, 1), "ab", None, 5, (1, None), (0, np.inf), (np.nan, 1)])
def test_a_range_is_two_ascending_numbers(value):
    with pytest.raises(ConfigError, match="str: r=.*; expected two ascending numbers, .from, to."):
        check_range("", "r", value)


@pytest.mark.parametrize("value", [-1, 2**63, 0.5, "7", None])
def test_an_integer_is_in_range(value):
    check_int("owner", low=1, seed=np.int64(1), epoch=2**63 - 1)
    with pytest.raises(ConfigError, match=r"owner: seed=.*; expected an integer from 0 to 2\*\*63 - 1"):
        check_int("owner", epoch=0, seed=value)


@pytest.mark.parametrize("value", [0, -1, 1.5, "8", None])
def test_a_clip_has_at_least_one_frame(value):
    with pytest.raises(ConfigError, match="str: clip_len=.*; expected an integer of at least 1 frame"):
        check_clip_len("", value)
