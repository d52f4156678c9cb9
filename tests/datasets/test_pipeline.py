"""Pipelines: names in errors, independent random numbers, names found under any scope."""

from __future__ import annotations

import multiprocessing
import pickle
import random
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS
from mmengine.registry import DefaultScope

from karsl.datasets import Pipeline
from karsl.datasets.rng import sample_keys
from karsl.datasets.transforms import PackKeypointInputs, RandomAffine, RandomFlip
from karsl.errors import ConfigError, SkeletonError, TransformError
from karsl.registry import DATASETS, TRANSFORMS
from karsl.testing.strategies import make_clip

MIRROR = dict(type="RandomFlip", prob=1.0)


def clip(sample: int = 3, epoch: int = 0, **more: object) -> dict:
    return {**make_clip(5), "sample_key": sample_keys(0, epoch, np.array([sample]))[0], "sample_idx": sample, **more}


def fail(results: dict) -> dict:
    raise ValueError("no hands")


# ---- running -----------------------------------------------------------------------------------------------------------


def test_steps_run_in_order():
    out = Pipeline([lambda r: {**r, "trail": "a"}, lambda r: {**r, "trail": r["trail"] + "b"}])(clip())
    assert out["trail"] == "ab"


@pytest.mark.parametrize("steps", [None, [], ()])
def test_no_steps_are_the_identity(steps):
    start = clip()
    assert Pipeline(steps)(start) is start


def test_none_stops_the_pipeline():
    assert Pipeline([lambda r: None, fail])(clip()) is None
    assert [name for name, _ in Pipeline([dict(type="RandomFlip"), lambda r: None, fail]).steps(clip())] == [
        "RandomFlip",
        "<lambda>",
    ]


def test_steps_yield_the_results_after_each_step():
    stages = list(Pipeline([dict(type="TSNSampleFrames", clip_len=2), dict(type="PackKeypointInputs")]).steps(clip()))
    assert [name for name, _ in stages] == ["TSNSampleFrames", "PackKeypointInputs"]
    assert stages[0][1]["keypoint"].shape == (2, 184, 3)
    assert stages[1][1]["inputs"].shape == (2, 184, 3)


def test_a_pipeline_pickles_and_prints_its_steps():
    pipeline = Pipeline([MIRROR, dict(type="PackKeypointInputs")])
    again = pickle.loads(pickle.dumps(pipeline))
    assert torch.equal(again(clip())["inputs"], pipeline(clip())["inputs"])
    assert (
        repr(again)
        == repr(pipeline)
        == ("Pipeline(\n    RandomFlip(prob=1.0)\n    PackKeypointInputs(fill=0.0, with_score=False, meta_keys=())\n)")
    )


# ---- errors ------------------------------------------------------------------------------------------------------------


def test_an_error_names_step_and_clip_and_keeps_its_cause():
    with pytest.raises(TransformError, match=r"^fail failed on clip 'c7' \(sample 3\): no hands$") as caught:
        Pipeline([MIRROR, fail])(clip(clip_id="c7"))
    assert isinstance(caught.value.__cause__, ValueError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_the_clip_is_still_named_after_packing_dropped_its_name():
    with pytest.raises(TransformError, match=r"fail failed on clip 'c7' \(sample 3\)"):
        Pipeline([dict(type="PackKeypointInputs"), fail])(clip(clip_id="c7"))


def test_a_step_after_one_that_returned_no_dict_is_named_too():
    with pytest.raises(TransformError, match=r"fail failed on clip 'c7' \(sample 3\): no hands"):
        Pipeline([lambda results: results["keypoint"], fail])(clip(clip_id="c7"))


def test_a_clip_without_a_name_is_named_by_its_number():
    with pytest.raises(TransformError, match="fail failed on sample 3: no hands"):
        Pipeline([fail])({"sample_idx": 3})


def test_an_error_of_a_transform_keeps_its_text():
    hand = dict(type="SelectKeypoints", names=["rh"])
    with pytest.raises(TransformError, match="RandomFlip failed on .*no mirror for 'right_hand_wrist'.*") as caught:
        Pipeline([hand, MIRROR])(clip())
    assert isinstance(caught.value.__cause__, SkeletonError)


def test_a_missing_key_is_named_in_words():
    with pytest.raises(TransformError, match=r"it needs 'keypoint', and the results have only \['clip_id', 'sample_idx'\]"):
        Pipeline([dict(type="PackKeypointInputs")])({"clip_id": "a", "sample_idx": 1})
    with pytest.raises(TransformError, match=r"KeyError\('other'\)"):
        Pipeline([lambda r: {}["other"]])({"other": 1})


def test_an_error_without_text_is_named_by_its_type():
    def silent(results: dict) -> dict:
        raise RuntimeError

    with pytest.raises(TransformError, match=r"silent failed on a sample: RuntimeError$"):
        Pipeline([silent])({})


# ---- random numbers ----------------------------------------------------------------------------------------------------


def only_shift() -> dict:
    return dict(type="RandomAffine", rotation_deg=(0, 0), scale=(1, 1), shift=(-1, 1))


def moves(*steps: object) -> list[list[float]]:
    """Return the distance that each step moved one point: the shift of a RandomAffine."""
    points = [clip()["keypoint"][0, 0], *(results["keypoint"][0, 0] for _, results in Pipeline(steps).steps(clip()))]
    return [np.round(b - a, 4)[:2].tolist() for a, b in zip(points[:-1], points[1:], strict=True)]


def test_a_class_used_twice_has_different_random_numbers():
    first, second = moves(only_shift(), only_shift())
    assert first != second


def test_one_object_used_twice_has_different_random_numbers_and_is_not_changed():
    step = TRANSFORMS.build(only_shift())
    first, second = moves(step, step)
    assert first != second
    assert moves(step) == moves(only_shift()) == [first]


def test_the_random_numbers_of_an_object_shared_by_two_pipelines_depend_on_its_position_in_each():
    shared = TRANSFORMS.build(only_shift())
    train, test = Pipeline([only_shift(), shared]), Pipeline([shared])
    alone = Pipeline([only_shift()])(clip())["keypoint"]
    np.testing.assert_array_equal(test(clip())["keypoint"], alone)
    np.testing.assert_array_equal(train(clip())["keypoint"], Pipeline([only_shift(), only_shift()])(clip())["keypoint"])


def test_another_step_in_between_changes_no_random_number():
    first, _, second = moves(only_shift(), dict(type="FillMissing"), only_shift())
    assert moves(only_shift(), only_shift()) == [first, second]


class UsesGenerators:
    """A user's transform that uses all three global generators."""

    def __init__(self, name: str = "seen") -> None:
        self.name = name

    def __call__(self, results: dict) -> dict:
        return {**results, self.name: (random.random(), float(np.random.rand()), float(torch.rand(())))}


def seen(sample: int = 3, epoch: int = 0) -> tuple[float, float, float]:
    return Pipeline([UsesGenerators()])(clip(sample, epoch))["seen"]


def test_a_users_transform_has_the_same_random_numbers_for_one_sample_of_one_epoch():
    assert seen() == seen()


@pytest.mark.parametrize("generator", [0, 1, 2], ids=["random", "numpy", "torch"])
def test_a_users_transform_has_other_random_numbers_for_other_samples_epochs_and_positions(generator):
    samples = [seen(sample)[generator] for sample in range(20)]
    epochs = [seen(3, epoch)[generator] for epoch in range(1, 20)]
    out = Pipeline([UsesGenerators("a"), UsesGenerators("b")])(clip(50))
    points = [out["a"][generator], out["b"][generator]]
    assert len({*samples, *epochs, *points}) == 41


def global_states() -> tuple:
    return random.getstate(), pickle.dumps(np.random.get_state()), torch.get_rng_state().tolist()


@pytest.mark.parametrize("last", [UsesGenerators(), fail], ids=["ends well", "raises"])
def test_a_users_step_leaves_the_global_generators_unchanged(last):
    np.random.standard_normal()  # numpy keeps a second normal number back; that is state too
    before = global_states()
    with nullcontext() if isinstance(last, UsesGenerators) else pytest.raises(TransformError):
        Pipeline([UsesGenerators(), RandomAffine(), last])(clip())
    assert global_states() == before


def test_keypoint_transforms_use_no_global_generator(monkeypatch):
    before = global_states()
    monkeypatch.setattr(np.random, "seed", fail)
    Pipeline([dict(type="RandomFlip"), dict(type="RandomGaussianNoise"), dict(type="PackKeypointInputs")])(clip())
    assert global_states() == before


def _seen_in_a_process(salt: int) -> tuple[float, float, float]:
    random.seed(salt)
    np.random.seed(salt)
    torch.manual_seed(salt)
    return seen()


def test_a_users_transform_has_the_same_random_numbers_in_every_process():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_seen_in_a_process, [1, 2]) == [seen(), seen()]


def test_without_a_key_a_users_transform_uses_the_unseeded_generators():
    pipeline, start = Pipeline([UsesGenerators()]), {"sample_idx": 0}
    random.seed(5)
    first, second = pipeline(start)["seen"][0], pipeline(start)["seen"][0]
    random.seed(5)
    assert pipeline(start)["seen"][0] == first != second


# ---- building ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["RandmFlip", "karsl.RandmFlip", "RandomFlop"])
def test_a_mistyped_type_gets_a_suggestion(name):
    with pytest.raises(ConfigError, match=f"no transform '{name}'; did you mean 'RandomFlip'"):
        Pipeline([dict(type=name)])


def test_a_type_like_no_other_gets_the_list():
    with pytest.raises(ConfigError, match="no transform 'zzzz'; known: .*PackKeypointInputs.*karsl.registry.TRANSFORMS"):
        Pipeline([dict(type="zzzz")])


def test_a_mistyped_argument_names_the_step_and_its_arguments():
    with pytest.raises(ConfigError, match="pipeline step 'RandomFlip': RandomFlip has no argument 'p'; it takes prob"):
        Pipeline([dict(type="RandomFlip", p=0.5)])


@pytest.mark.parametrize("step", ["RandomFlip", 3, None, {}, dict(typ="RandomFlip"), dict(type=5)])
def test_a_step_that_is_neither_config_nor_callable_is_rejected(step):
    with pytest.raises(ConfigError, match=r"pipeline\[1\] is .*; expected a callable, or a dict with the name"):
        Pipeline([MIRROR, step])


@pytest.mark.parametrize("pipeline", ["RandomFlip", MIRROR])
def test_a_step_without_a_list_is_rejected(pipeline):
    with pytest.raises(ConfigError, match="pipeline=.*RandomFlip.*; expected a list of transforms"):
        Pipeline(pipeline)


@pytest.mark.parametrize("scope", [None, "mmengine", "karsl", "other"])
@pytest.mark.parametrize("name", ["RandomFlip", "karsl.RandomFlip", RandomFlip, "karsl.datasets.transforms.RandomFlip"])
def test_karsl_names_are_found_under_any_default_scope(scope, name):
    with DefaultScope.overwrite_default_scope(scope):
        (step,) = Pipeline([dict(type=name, prob=1.0)]).transforms
    assert type(step) is RandomFlip
    assert step.prob == 1.0


TEXT = """
default_scope = {scope!r}
dataset = dict(
    type={name!r},
    lazy_init=True,
    pipeline=[
        dict(type='LoadKeypoints'),
        dict(type='CenterScale', anchors=dict(body=dict(origin=['nose'], scale=('left_shoulder', 'right_shoulder')))),
        dict(type='RandomAffine', scale=[0.5, 2]),
        dict(type='TSNSampleFrames', clip_len=8),
        dict(type='PackKeypointInputs'),
    ],
)
"""


@pytest.mark.parametrize(
    ("scope", "name"), [("karsl", "KArSLDataset"), ("mmengine", "karsl.KArSLDataset"), (None, "KArSLDataset")]
)
def test_a_text_config_names_dataset_and_transforms_by_strings(tmp_path, scope, name):
    path = tmp_path / "config.py"
    path.write_text(TEXT.format(scope=scope, name=name))
    config = Config.fromfile(path)
    before = config.pretty_text
    with DefaultScope.overwrite_default_scope(config.default_scope):
        dataset = DATASETS.build(config.dataset)
    assert [type(t).__name__ for t in dataset.pipeline.transforms] == [
        "LoadKeypoints", "CenterScale", "RandomAffine", "TSNSampleFrames", "PackKeypointInputs",
    ]  # fmt: skip
    assert type(dataset.pipeline.transforms[-1]) is PackKeypointInputs
    assert config.pretty_text == before


@pytest.fixture
def own_transform():
    """Register a user's transform with a registry until the test ends."""
    added = []

    def register(registry, name: str) -> type:
        cls = type(name, (UsesGenerators,), {})
        registry.register_module(module=cls)
        added.append((registry, name))
        return cls

    yield register
    for registry, name in added:
        del registry.module_dict[name]


@pytest.mark.parametrize("registry", [TRANSFORMS, ROOT_TRANSFORMS], ids=["karsl", "mmengine"])
def test_a_users_transform_is_found_in_the_registries_of_karsl_and_mmengine(own_transform, registry):
    cls = own_transform(registry, "MyDraws")
    (step,) = Pipeline([dict(type="MyDraws", name="numbers")]).transforms
    assert type(step) is cls
    assert len(Pipeline([step])(clip())["numbers"]) == 3
    with pytest.raises(ConfigError, match="did you mean 'MyDraws'"):
        Pipeline([dict(type="MyDrws")])
