"""Misspelled names get a suggestion, of types and of arguments, and the class that a user wrote is named."""

from __future__ import annotations

import inspect

import pytest
from mmengine.registry import FUNCTIONS as ROOT_FUNCTIONS

from karsl.datasets import ConcatDataset, KArSLDataset, KeypointDataset, ResumableSampler, keypoint_collate
from karsl.datasets.transforms import TSNSampleFrames
from karsl.errors import ConfigError
from karsl.registry import DATASETS, TRANSFORMS


@pytest.mark.parametrize("name", ["KarslDataset", "KARSLDataset", "KArSLDatset", "karsldataset"])
def test_a_misspelled_type_suggests_the_right_one(name):
    with pytest.raises(ConfigError, match=f"^no dataset '{name}'; did you mean 'KArSLDataset'\\?$"):
        DATASETS.build(dict(type=name))
    with pytest.raises(ConfigError, match=r"datasets\[0\] .*did you mean 'KArSLDataset'\?$"):
        ConcatDataset([dict(type=name)])


def test_a_type_that_resembles_none_gets_no_suggestion():
    with pytest.raises(ConfigError, match="^no dataset 'PoseDataset'; check the spelling, and that its module is imported$"):
        DATASETS.build(dict(type="PoseDataset"))


@pytest.mark.parametrize(
    ("cls", "arguments", "meant"),
    [
        (KArSLDataset, {"data_roott": "x"}, "data_root"),
        (KArSLDataset, {"label_tabel": "x"}, "label_table"),
        (KeypointDataset, {"pipelin": []}, "pipeline"),
        (ConcatDataset, {"datasets": [[0]], "label": "union"}, "labels"),
        (ResumableSampler, {"dataset": range(3), "shufle": True}, "shuffle"),
        (TSNSampleFrames, {"clip_length": 8}, "clip_len"),
    ],
)
def test_a_misspelled_argument_names_the_class_and_the_right_one(cls, arguments, meant):
    wrong = list(arguments)[-1]
    with pytest.raises(TypeError, match=f"^{cls.__name__} has no argument '{wrong}'; did you mean '{meant}'\\?$"):
        cls(**arguments)


def test_other_errors_and_signatures_stay_as_they_are():
    assert list(inspect.signature(TSNSampleFrames).parameters) == ["clip_len", "jitter", "mode"]
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'clip_len'"):
        TSNSampleFrames()
    with pytest.raises(ConfigError, match="clip_len=0"):
        TRANSFORMS.build(dict(type="TSNSampleFrames", clip_len=0))

    @TRANSFORMS.register_module(force=True)
    class Raises:
        def __init__(self, value: int = 0) -> None:
            raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        TRANSFORMS.build(dict(type="Raises"))


def test_collate_functions_are_found_where_mmengines_runner_looks():
    assert ROOT_FUNCTIONS.get("keypoint_collate") is ROOT_FUNCTIONS.get("karsl.keypoint_collate") is keypoint_collate
