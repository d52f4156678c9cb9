"""The frame of a transform: draws, fresh numbers by hand, streams of own classes."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.checks import check_clip_len, check_number, check_prob, check_range
from karsl.datasets.rng import CounterRNG
from karsl.datasets.transforms import ClipMeta, KeypointTransform
from karsl.errors import ConfigError
from karsl.skeletons import Skeleton


class AddNoise(KeypointTransform):
    """What a user writes: no constructor, a draw, an apply."""

    def sample_params(self, meta: ClipMeta, draw: CounterRNG) -> dict:
        return {"add": draw.uniform("add")}

    def apply(self, results: dict, params: dict) -> dict:
        return {"keypoint": results["keypoint"] + np.float32(params["add"])}


class AddOtherNoise(AddNoise):
    pass


def test_a_transform_of_ones_own_needs_no_constructor_and_draws_by_the_sample_key(clip):
    start = clip([[1]])
    one, same, other = (AddNoise()(clip([[1]], sample_key=np.uint64(k)))["keypoint"][0, 0, 0] for k in (4, 4, 5))
    assert one == same != other
    assert start["keypoint"][0, 0, 0] == 1
    assert repr(AddNoise()) == "AddNoise()"


def test_two_classes_draw_different_numbers(clip):
    assert AddNoise()(clip([[1]]))["keypoint"].tolist() != AddOtherNoise()(clip([[1]]))["keypoint"].tolist()


def test_by_hand_without_a_key_numpys_seed_decides(clip):
    start = clip([[1]])
    del start["sample_key"]
    state = np.random.get_state()
    try:
        np.random.seed(3)
        first, second = AddNoise()(start)["keypoint"][0, 0, 0], AddNoise()(start)["keypoint"][0, 0, 0]
        np.random.seed(3)
        again = AddNoise()(start)["keypoint"][0, 0, 0]
    finally:
        np.random.set_state(state)
    assert first == again != second


def test_the_pivot_is_the_centre_of_the_picture_or_the_origin_of_the_body():
    one = Skeleton("one", (("all", ("nose",)),))
    assert ClipMeta(np.array([1]), one).pivot == 0.5
    assert ClipMeta(np.array([1]), one, centred=True).pivot == 0


def test_checks_give_plain_numbers():
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
