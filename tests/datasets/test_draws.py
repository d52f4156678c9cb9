"""Counter-based numbers: uniform, and a function of (seed, epoch, sample, transform, lane) alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from karsl.datasets.draws import Draw, _mix, epoch_key, mix64, name_code, sample_keys

uint64 = st.integers(0, 2**64 - 1)
lanes = st.sampled_from(["flip", "angle", "place", "start", "hide"])


def draw(epoch: int = 0, samples: int = 1, *, seed: int = 0, stream: int = 1) -> Draw:
    return Draw(sample_keys(seed, epoch, np.arange(samples)), stream=stream)


def test_mix64_gives_splitmix64s_published_sequence():
    golden = 0x9E3779B97F4A7C15
    assert [mix64(k * golden) for k in range(3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@given(st.lists(uint64, min_size=1, max_size=8))
def test_one_number_and_an_array_mix_alike(values):
    with np.errstate(over="ignore"):
        assert _mix(np.array(values, np.uint64)).tolist() == [mix64(v) for v in values]


def test_the_numbers_stay_those_of_earlier_versions():
    """Whoever changes these changes every run that was trained with a seed."""
    assert name_code("RandomFlip") == 0x33CDAF5C80BEB757
    assert sample_keys(3, 2, np.array([1])).tolist() == [15432287184251514724]
    assert draw(2, 2, seed=3).bits("flip", 2).tolist() == [
        [16311066147893382607, 9104616758268839741],
        [2801629359940629955, 15824449147512410009],
    ]


@given(st.integers(0, 2**40), st.integers(0, 10**6), st.lists(st.integers(0, 10**7), min_size=1, max_size=6), lanes)
def test_a_sample_draws_the_same_whoever_else_is_in_the_batch(seed, epoch, samples, lane):
    together = Draw(sample_keys(seed, epoch, np.array(samples)), stream=5).uniform(lane, 3)
    for row, sample in zip(together, samples, strict=True):
        alone = Draw(sample_keys(seed, epoch, np.array([sample])), stream=5).uniform(lane, 3)
        np.testing.assert_array_equal(alone[0], row)


@given(uint64, lanes, st.integers(1, 6), st.integers(0, 6))
def test_the_first_numbers_of_a_lane_do_not_depend_on_how_many_are_drawn(key, lane, few, more):
    one = Draw(np.array([key], np.uint64), stream=5)
    np.testing.assert_array_equal(one.uniform(lane, few + more)[:, :few], one.uniform(lane, few))
    np.testing.assert_array_equal(one.uniform(lane, few, 2).ravel(), one.uniform(lane, few * 2).ravel())
    assert one.uniform(lane)[0] == one.uniform(lane, few)[0, 0]


@given(uint64, st.permutations(["flip", "angle", "place"]))
def test_lanes_do_not_depend_on_the_order_they_are_asked_in(key, order):
    one = Draw(np.array([key], np.uint64), stream=5)
    found = {lane: one.bits(lane)[0] for lane in order}
    assert found == {lane: Draw(np.array([key], np.uint64), stream=5).bits(lane)[0] for lane in found}
    assert len(set(found.values())) == 3


@given(st.integers(0, 2**40), st.integers(0, 10**6))
def test_uniform_numbers_lie_in_0_to_1_and_between_the_limits(seed, epoch):
    one = Draw(sample_keys(seed, epoch, np.arange(50)), stream=1)
    unit, wide = one.uniform("a", 4), one.uniform("a", 4, low=-10, high=30)
    assert ((unit >= 0) & (unit < 1)).all()
    np.testing.assert_allclose(wide, 40 * unit - 10, rtol=1e-12, atol=1e-12)


def test_the_largest_and_smallest_bits_stay_inside():
    class Fixed(Draw):
        def bits(self, lane: str, *shape: int) -> np.ndarray:
            return self.keys

    ends = Fixed(np.array([0, 2**64 - 1], np.uint64), stream=0)
    assert ends.uniform("a").tolist() == [0, 1 - 2**-53]
    for high in (1, 3, 7, 10, 2**20, 2**31 - 1):
        assert ends.integers("a", high).tolist() == [0, high - 1]
    assert ends.chance("a", 0).tolist() == [False, False]
    assert ends.chance("a", 1).tolist() == [True, True]


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=20), st.integers(0, 10**6))
def test_integers_stay_below_each_samples_own_limit(limits, epoch):
    high = np.array(limits)
    found = draw(epoch, len(limits)).integers("start", high)
    assert found.dtype == np.int64
    assert ((found >= 0) & (found < high)).all()


def differing_keys() -> dict[str, np.ndarray]:
    """Numbers of 6,000 neighbours, in each direction in which two draws can be neighbours."""
    count = 6_000
    return {
        "samples": draw(0, count).uniform("a"),
        "epochs": np.concatenate([draw(e).uniform("a") for e in range(count)]),
        "seeds": np.concatenate([draw(seed=s).uniform("a") for s in range(count)]),
        "positions": draw().uniform("a", count)[0],
        "streams": np.concatenate([draw(stream=s).uniform("a") for s in range(count)]),
        "lanes": np.concatenate([draw().uniform(f"lane {k}") for k in range(count)]),
    }


def test_neighbours_in_every_direction_are_uniform_and_do_not_know_each_other():
    for direction, numbers in differing_keys().items():
        counts = np.bincount((numbers * 20).astype(int), minlength=20)
        chi2 = ((counts - 300) ** 2 / 300).sum()
        assert chi2 < 60, (direction, chi2)  # 19 degrees of freedom: mean 19, this is beyond 1 in 200,000
        for lag in (1, 2, 7):
            correlation = np.corrcoef(numbers[lag:], numbers[:-lag])[0, 1]
            assert abs(correlation) < 0.065, (direction, lag, correlation)  # 5 standard errors


def test_two_lanes_two_transforms_and_two_epochs_are_not_correlated():
    base = draw(0, 20_000).uniform("a")
    for other in (draw(0, 20_000).uniform("b"), draw(0, 20_000, stream=2).uniform("a"), draw(1, 20_000).uniform("a"),
                  draw(0, 20_000, seed=1).uniform("a")):  # fmt: skip
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.035


def test_no_two_samples_of_several_epochs_and_seeds_share_a_key():
    keys = np.concatenate([sample_keys(seed, epoch, np.arange(20_000)) for seed in range(3) for epoch in range(5)])
    assert len(np.unique(keys)) == len(keys)


def test_seed_and_epoch_do_not_stand_in_for_each_other():
    assert len({epoch_key(seed, epoch) for seed in range(60) for epoch in range(60)}) == 3600


@pytest.mark.parametrize("prob", [0.05, 0.5, 0.9])
def test_chance_comes_as_often_as_asked(prob):
    assert draw(0, 20_000).chance("flip", prob).mean() == pytest.approx(prob, abs=0.015)
