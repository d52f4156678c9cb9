"""Counter-based random numbers: uniform, and a function of (seed, epoch, sample, transform, name) alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from karsl.datasets.rng import CounterRNG, _mix, epoch_key, hash_name, sample_keys, splitmix64

uint64 = st.integers(0, 2**64 - 1)
names = st.sampled_from(["flip", "angle", "place", "start", "hide"])


def rng_of(epoch: int = 0, samples: int = 1, *, seed: int = 0, transform_id: int = 1) -> CounterRNG:
    return CounterRNG(sample_keys(seed, epoch, np.arange(samples)), transform_id=transform_id)


def test_splitmix64_gives_splitmix64s_published_sequence():
    golden = 0x9E3779B97F4A7C15
    assert [splitmix64(k * golden) for k in range(3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@given(st.lists(uint64, min_size=1, max_size=8))
def test_one_number_and_an_array_mix_alike(values):
    with np.errstate(over="ignore"):
        assert _mix(np.array(values, np.uint64)).tolist() == [splitmix64(v) for v in values]


def test_the_numbers_stay_those_of_earlier_versions():
    """Changing these numbers changes every run that was trained with a seed."""
    assert hash_name("RandomFlip") == 0x33CDAF5C80BEB757
    assert sample_keys(3, 2, np.array([1])).tolist() == [15432287184251514724]
    assert rng_of(2, 2, seed=3).bits("flip", 2).tolist() == [
        [16311066147893382607, 9104616758268839741],
        [2801629359940629955, 15824449147512410009],
    ]


@given(st.integers(0, 2**40), st.integers(0, 10**6), st.lists(st.integers(0, 10**7), min_size=1, max_size=6), names)
def test_a_sample_has_the_same_random_numbers_in_any_batch(seed, epoch, samples, name):
    together = CounterRNG(sample_keys(seed, epoch, np.array(samples)), transform_id=5).uniform(name, 3)
    for row, sample in zip(together, samples, strict=True):
        alone = CounterRNG(sample_keys(seed, epoch, np.array([sample])), transform_id=5).uniform(name, 3)
        np.testing.assert_array_equal(alone[0], row)


@given(uint64, names, st.integers(1, 6), st.integers(0, 6))
def test_the_first_numbers_of_a_name_do_not_depend_on_their_count(key, name, few, more):
    one = CounterRNG(np.array([key], np.uint64), transform_id=5)
    np.testing.assert_array_equal(one.uniform(name, few + more)[:, :few], one.uniform(name, few))
    np.testing.assert_array_equal(one.uniform(name, few, 2).ravel(), one.uniform(name, few * 2).ravel())
    assert one.uniform(name)[0] == one.uniform(name, few)[0, 0]


@given(uint64, st.permutations(["flip", "angle", "place"]))
def test_numbers_do_not_depend_on_the_order_of_names(key, order):
    one = CounterRNG(np.array([key], np.uint64), transform_id=5)
    found = {name: one.bits(name)[0] for name in order}
    assert found == {name: CounterRNG(np.array([key], np.uint64), transform_id=5).bits(name)[0] for name in found}
    assert len(set(found.values())) == 3


@given(st.integers(0, 2**40), st.integers(0, 10**6))
def test_uniform_numbers_are_in_0_to_1_and_between_the_limits(seed, epoch):
    one = CounterRNG(sample_keys(seed, epoch, np.arange(50)), transform_id=1)
    unit, wide = one.uniform("a", 4), one.uniform("a", 4, low=-10, high=30)
    assert ((unit >= 0) & (unit < 1)).all()
    np.testing.assert_allclose(wide, 40 * unit - 10, rtol=1e-12, atol=1e-12)


def test_the_largest_and_smallest_bits_stay_inside():
    class Fixed(CounterRNG):
        def bits(self, name: str, *shape: int) -> np.ndarray:
            return self.keys

    ends = Fixed(np.array([0, 2**64 - 1], np.uint64), transform_id=0)
    assert ends.uniform("a").tolist() == [0, 1 - 2**-53]
    for high in (1, 3, 7, 10, 2**20, 2**31 - 1):
        assert ends.integers("a", high).tolist() == [0, high - 1]
    assert ends.bernoulli("a", 0).tolist() == [False, False]
    assert ends.bernoulli("a", 1).tolist() == [True, True]


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=20), st.integers(0, 10**6))
def test_integers_stay_below_the_limit_of_each_sample(limits, epoch):
    high = np.array(limits)
    found = rng_of(epoch, len(limits)).integers("start", high)
    assert found.dtype == np.int64
    assert ((found >= 0) & (found < high)).all()


def differing_keys() -> dict[str, np.ndarray]:
    """Numbers of 6,000 neighbors, in each direction in which two generators can be neighbors."""
    count = 6_000
    return {
        "samples": rng_of(0, count).uniform("a"),
        "epochs": np.concatenate([rng_of(e).uniform("a") for e in range(count)]),
        "seeds": np.concatenate([rng_of(seed=s).uniform("a") for s in range(count)]),
        "positions": rng_of().uniform("a", count)[0],
        "transforms": np.concatenate([rng_of(transform_id=s).uniform("a") for s in range(count)]),
        "names": np.concatenate([rng_of().uniform(f"lane {k}") for k in range(count)]),
    }


def test_neighbors_in_every_direction_are_uniform_and_uncorrelated():
    for direction, numbers in differing_keys().items():
        counts = np.bincount((numbers * 20).astype(int), minlength=20)
        chi2 = ((counts - 300) ** 2 / 300).sum()
        assert chi2 < 60, (direction, chi2)  # 19 degrees of freedom: mean 19, this is beyond 1 in 200,000
        for lag in (1, 2, 7):
            correlation = np.corrcoef(numbers[lag:], numbers[:-lag])[0, 1]
            assert abs(correlation) < 0.065, (direction, lag, correlation)  # 5 standard errors


def test_two_names_two_transforms_and_two_epochs_are_not_correlated():
    base = rng_of(0, 20_000).uniform("a")
    others = rng_of(0, 20_000), rng_of(0, 20_000, transform_id=2), rng_of(1, 20_000), rng_of(0, 20_000, seed=1)
    for other in (rng.uniform(name) for rng, name in zip(others, "baaa", strict=True)):
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.035


def test_no_two_samples_of_several_epochs_and_seeds_share_a_key():
    keys = np.concatenate([sample_keys(seed, epoch, np.arange(20_000)) for seed in range(3) for epoch in range(5)])
    assert len(np.unique(keys)) == len(keys)


def test_seed_and_epoch_are_not_interchangeable():
    assert len({epoch_key(seed, epoch) for seed in range(60) for epoch in range(60)}) == 3600


@pytest.mark.parametrize("prob", [0.05, 0.5, 0.9])
def test_bernoulli_is_true_with_its_probability(prob):
    assert rng_of(0, 20_000).bernoulli("flip", prob).mean() == pytest.approx(prob, abs=0.015)
