"""The base class: random parameters, transforms called directly, random numbers of subclasses and renamed classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from karsl.datasets import Pipeline, transforms
from karsl.datasets.rng import CounterRNG
from karsl.datasets.rng import splitmix64 as splitmix
from karsl.datasets.transforms import ClipMeta, KeypointTransform
from karsl.skeletons import Skeleton


class AddNoise(KeypointTransform):
    """Transform of a user: no constructor, random parameters and an apply."""

    def get_params(self, meta: ClipMeta, rng: CounterRNG) -> dict:
        return {"add": rng.uniform("add")}

    def apply(self, results: dict, params: dict) -> dict:
        return {"keypoint": results["keypoint"] + np.float32(params["add"])}


class AddOtherNoise(AddNoise):
    pass


def test_a_user_transform_needs_no_constructor_and_its_random_numbers_depend_on_the_sample_key(clip):
    start = clip([[1]])
    one, same, other = (AddNoise()(clip([[1]], sample_key=np.uint64(k)))["keypoint"][0, 0, 0] for k in (4, 4, 5))
    assert one == same != other
    assert start["keypoint"][0, 0, 0] == 1
    assert repr(AddNoise()) == "AddNoise()"


def test_two_classes_have_different_random_numbers(clip):
    assert AddNoise()(clip([[1]]))["keypoint"].tolist() != AddOtherNoise()(clip([[1]]))["keypoint"].tolist()


# CRC-32 of the name that the random numbers of each transform have depended on since the first version
NAME_CRC = {
    "LoadKeypoints": 278395182,
    "TSNSampleFrames": 3623389155,
    "LegacyTSNSampleFrames": 3623389155,
    "UniformSampleFrames": 1879720736,
    "PadTo": 3219370148,
    "RandomFlip": 744745887,
    "RandomAffine": 1516232951,
    "KeypointDropout": 1085557131,
    "FrameDropout": 3382677764,
    "RandomResample": 1948338263,
    "RandomGaussianNoise": 4231020353,
    "CenterScale": 3684300415,
    "FillMissing": 3890878341,
    "SelectKeypoints": 2032224505,
    "PackKeypointInputs": 1775027135,
}


@pytest.mark.parametrize("name", NAME_CRC)
def test_the_random_numbers_of_every_transform_are_pinned(name):
    """If this fails, the same seed gives other batches than before: decide that, and note it in the changelog."""
    assert getattr(transforms, name).transform_id == splitmix(NAME_CRC[name])


def test_a_subclass_of_a_renamed_transform_has_its_own_random_numbers():
    class Own(transforms.PadTo):
        pass

    assert Own.rng_name == "Own"
    assert Own.transform_id != transforms.PadTo.transform_id


def test_a_pipeline_numbers_transforms_by_the_name_of_their_random_numbers():
    first, second = Pipeline([transforms.TSNSampleFrames(4), transforms.LegacyTSNSampleFrames(4)]).transforms
    assert first.transform_id == transforms.LegacyTSNSampleFrames.transform_id != second.transform_id


def test_equal_transforms_are_the_same_and_others_are_not():
    flip = transforms.RandomFlip(0.5)
    assert flip.same_as(transforms.RandomFlip(0.5))
    assert not flip.same_as(transforms.RandomFlip(0.4))
    assert not transforms.TSNSampleFrames(4).same_as(transforms.LegacyTSNSampleFrames(4))
    two = Pipeline([flip, flip]).transforms
    assert not two[0].same_as(two[1]), "their random numbers differ"


@pytest.mark.parametrize("make_table", [np.arange, torch.arange])
def test_arrays_and_tensors_of_a_user_transform_make_it_the_same_as_itself_only(make_table):
    class Own(AddNoise):
        def __init__(self):
            self.table = make_table(3)

    one = Own()
    assert one.same_as(one)
    assert not one.same_as(Own())


def test_a_user_transform_may_modify_any_key():
    class Own(transforms.RandomFlip):
        pass

    assert transforms.RandomFlip.modified_keys == ("keypoint", "keypoint_score", "flip")
    assert Own.modified_keys is AddNoise.modified_keys is None


def test_without_a_sample_key_the_seed_of_numpy_decides(clip):
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


def test_the_pivot_is_the_center_of_the_image_or_the_origin_of_the_body():
    one = Skeleton("one", (("all", ("nose",)),))
    assert ClipMeta(np.array([1]), one).pivot == 0.5
    assert ClipMeta(np.array([1]), one, centered=True).pivot == 0
