"""Transforms of a user in a batch: arrays of N clips, or functions of one sample anywhere in the pipeline."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from karsl.datasets import KArSLDataset, KeypointDataset, device_collate, keypoint_collate
from karsl.datasets.batching.batch import LazyBatch
from karsl.datasets.combine import ConcatDataset
from karsl.datasets.transforms import KeypointTransform, RandomFlip
from karsl.errors import ConfigError, TransformError

LOAD, PACK = dict(type="LoadKeypoints"), dict(type="PackKeypointInputs")
SCORED = dict(type="PackKeypointInputs", with_score=True, fill=-1.0)
SAMPLE = dict(type="TSNSampleFrames", clip_len=6, jitter=1.0)
MOVES = [dict(type="RandomFlip"), dict(type="RandomAffine"), dict(type="CenterScale")]


class RandomDepth(KeypointTransform):
    """Scale depth, for N clips; `sizes` counts the clips of each call."""

    sizes: list[int] = []

    def get_params(self, meta, rng):
        return {"ratio": rng.uniform("ratio", low=0.5, high=1.5).astype(np.float32)}

    def transform_batch(self, batch):
        self.sizes.append(len(batch))
        batch.keypoint[..., 2] *= batch.params["ratio"][batch.clip_idx, None]
        return {"keypoint": batch.keypoint}


class HideLowScores(KeypointTransform):
    def apply(self, results, params):
        hidden = results["keypoint_score"] < 0.7
        score = np.where(hidden, np.float32(0), results["keypoint_score"])
        return {"keypoint": np.where(hidden[..., None], np.float32(np.nan), results["keypoint"]), "keypoint_score": score}

    def transform_batch(self, batch):
        hidden = batch.keypoint_score < 0.7
        batch.keypoint[hidden], batch.keypoint_score[hidden] = np.nan, 0
        return {"keypoint": batch.keypoint, "keypoint_score": batch.keypoint_score}


class AddSpeed(KeypointTransform):
    """x, y, z and the distance from the frame before: C = 4."""

    def transform_batch(self, batch):
        step = np.zeros((*batch.keypoint.shape[:2], 1), np.float32)
        step[1:, :, 0] = np.linalg.norm(batch.keypoint[1:] - batch.keypoint[:-1], axis=-1)
        step[batch.offsets[:-1]] = 0
        step[np.isnan(batch.keypoint[..., :1])] = np.nan
        return {"keypoint": np.concatenate([batch.keypoint, step], axis=-1)}

    def output_channels(self, channels):
        return channels + 1


def shake(results):
    return {**results, "keypoint": results["keypoint"] + np.float32(np.random.rand())}


def relabel(results):
    return {**results, "label": results["label"] + 100}


def shorten(results):
    return {**results, **{key: results[key][: 1 + results["sample_idx"] % 3] for key in ("keypoint", "keypoint_score")}}


def drop_depth(results):
    return {**results, "keypoint": results["keypoint"][..., :2].astype(np.float64)}


@pytest.fixture
def make(corpus):
    return lambda pipeline, **kwargs: KArSLDataset(data_root=str(corpus), pipeline=pipeline, **{"seed": 3, **kwargs})


def assert_batch_is_its_samples(dataset, indices=(5, 0, 7, 5), *, together=True, collate=keypoint_collate):
    asked = dataset.__getitems__(list(indices))
    batch, expected = collate(asked), keypoint_collate([dataset[i] for i in indices])
    assert ("_samples" not in vars(asked)) == together, "the batch is made of arrays, not of samples"
    assert batch.keys() == expected.keys()
    for key, value in expected.items():
        if torch.is_tensor(value):
            torch.testing.assert_close(batch[key], value, rtol=0, atol=1e-5)
        else:
            assert batch[key] == value
    return batch


PIPELINES = {
    "arrays at the end": [LOAD, SAMPLE, *MOVES, RandomDepth(), PACK],
    "arrays at the end, with score": [LOAD, SAMPLE, *MOVES, HideLowScores(), SCORED],
    "arrays after loading": [LOAD, RandomDepth(), SAMPLE, *MOVES, SCORED],
    "arrays twice": [LOAD, SAMPLE, RandomDepth(), HideLowScores(), MOVES[0], RandomDepth(), PACK],
    "arrays with more channels": [LOAD, SAMPLE, *MOVES, AddSpeed(), SCORED],
    "arrays with more channels, then more": [LOAD, SAMPLE, AddSpeed(), HideLowScores(), PACK],
    "arrays between noise and filling": [
        LOAD, SAMPLE, dict(type="RandomGaussianNoise"), HideLowScores(), dict(type="FillMissing", mode="linear"), PACK,
    ],
    "arrays and filled points that move": [
        LOAD, SAMPLE, dict(type="FillMissing", mode="previous"), RandomDepth(), *MOVES, PACK,
    ],
    "streams": [LOAD, SAMPLE, dict(type="SkeletonFeatures", feats=["joint", "bone", "motion"], output="keypoint"), PACK],
    "streams with score": [LOAD, SAMPLE, dict(type="SkeletonFeatures", feats="bone_motion", output="keypoint"), SCORED],
    "a function at the end": [LOAD, SAMPLE, *MOVES, shake, PACK],
    "a function at the end, with score": [LOAD, SAMPLE, *MOVES, shake, SCORED],
    "a function in the middle": [LOAD, SAMPLE, shake, *MOVES, PACK],
    "a function after loading": [LOAD, shake, SAMPLE, *MOVES, PACK],
    "functions everywhere": [LOAD, shake, SAMPLE, shake, MOVES[0], relabel, RandomDepth(), shake, SCORED],
    "a function that changes lengths": [LOAD, shorten, SAMPLE, *MOVES, PACK],
    "a function that drops a channel": [LOAD, SAMPLE, *MOVES, drop_depth, PACK],
    "noise after a function": [LOAD, SAMPLE, shake, dict(type="RandomGaussianNoise"), SCORED],
}  # fmt: skip


@pytest.mark.parametrize("name", PIPELINES)
def test_a_batch_with_a_step_of_ones_own_is_its_samples(make, name):
    assert_batch_is_its_samples(make(PIPELINES[name]))


@pytest.mark.parametrize("name", ["arrays at the end", "a function in the middle", "streams"])
def test_such_a_batch_for_a_gpu_is_finished_here(make, name):
    assert_batch_is_its_samples(make(PIPELINES[name]), collate=device_collate)


@pytest.mark.parametrize("name", ["arrays at the end", "functions everywhere", "a function after loading"])
def test_without_packing_results_have_every_key_of_those_made_alone(make, name):
    dataset = make(PIPELINES[name][:-1])
    for found, index in zip(dataset.__getitems__([2, 4]), (2, 4), strict=True):
        expected = dataset[index]
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            if isinstance(value, np.ndarray):
                np.testing.assert_allclose(found[key], value, atol=1e-5, err_msg=key)
            else:
                assert found[key] == value, key


def test_n_clips_are_one_call_and_a_sample_is_a_call_with_one_clip(make):
    RandomDepth.sizes = []
    dataset = make([LOAD, SAMPLE, RandomDepth(), PACK])
    keypoint_collate(dataset.__getitems__([1, 2, 3]))
    _ = dataset[1]
    assert RandomDepth.sizes == [3, 1]


def test_a_subclass_is_batched_by_the_form_that_is_defined_last():
    class Own(RandomFlip):
        def transform_batch(self, batch):
            return {}

    class Alone(Own):
        def apply(self, results, params):
            return {}

    assert (RandomFlip().batched_form(), Own().batched_form(), Alone().batched_form()) == ("defer", "transform_batch", "")


def test_a_transform_without_any_form_says_so(make):
    with pytest.raises(TransformError, match="Nothing defines neither apply nor transform_batch"):
        make([LOAD, type("Nothing", (KeypointTransform,), {})()])[0]


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (lambda batch: {"keypoint": batch.keypoint[:-1]}, r"returned keypoint of shape .*another number of coordinates"),
        (lambda batch: {"label": 1}, r"returned \['label'\]; expected a dict of keypoint and keypoint_score"),
        (lambda batch: None, "returned NoneType; expected a dict"),
    ],
)
def test_arrays_of_another_shape_are_rejected(make, changed, text):
    wrong = type("Wrong", (KeypointTransform,), {"transform_batch": lambda self, batch: changed(batch)})()
    with pytest.raises(TransformError, match=f"Wrong failed on clip .*: Wrong.transform_batch {text}"):
        keypoint_collate(make([LOAD, SAMPLE, wrong, PACK]).__getitems__([0, 1]))


def test_a_form_that_fails_for_n_clips_only_is_named_and_clips_are_made_one_by_one(make, monkeypatch):
    class OneOnly(KeypointTransform):
        def transform_batch(self, batch):
            (ratio,) = batch.offsets[1:]
            return {"keypoint": batch.keypoint / np.float32(ratio)}

    lines = []
    monkeypatch.setattr("karsl.datasets.batching.deferred.print_log", lambda text, **options: lines.append(text))
    assert_batch_is_its_samples(make([LOAD, SAMPLE, OneOnly(), PACK]), together=False)
    assert lines[0].startswith("OneOnly.transform_batch failed on a batch of 4 clips (too many values to unpack")


def test_a_function_that_fails_on_one_clip_is_called_once_for_the_others(make):
    seen = []

    def fails_on_two(results):
        seen.append(results["sample_idx"])
        if results["sample_idx"] == 2:
            raise OSError("disk on fire")
        return results

    dataset = make([LOAD, SAMPLE, fails_on_two, *MOVES, PACK])
    with pytest.raises(TransformError, match=r"fails_on_two failed on clip .* \(sample 2\): disk on fire"):
        keypoint_collate(dataset.__getitems__([1, 2, 3]))
    assert seen == [1, 2, 3, 2]


@pytest.mark.parametrize(
    "change",
    [
        lambda results: {"centered": results["sample_idx"] % 2 == 0},
        lambda results: {"label": float(results["label"])},
        lambda results: {"keypoint": results["keypoint"][..., :2]},
        lambda results: {"skeleton": None} if results["sample_idx"] else {},
    ],
    ids=["half of them centered", "labels that are no integers", "two coordinates", "no skeleton"],
)
def test_clips_that_cannot_be_joined_are_finished_one_by_one(make, change):
    def scatter(results):
        return {**results, **change(results)}

    after = dict(type="TSNSampleFrames", clip_len=4)
    assert_batch_is_its_samples(make([LOAD, SAMPLE, scatter, after, PACK]), (0, 1, 2), together=False)


def test_global_generators_are_left_as_they_were(make):
    dataset = make(PIPELINES["functions everywhere"])
    states = [np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]
    keypoint_collate(dataset.__getitems__([0, 1]))
    assert [np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()] == states


class Disagrees(RandomDepth):
    def apply(self, results, params):
        return {"keypoint": results["keypoint"] * 2}

    def transform_batch(self, batch):
        return {"keypoint": batch.keypoint * 3}


@pytest.mark.parametrize("before", [[], [shake]], ids=["first", "after a function"])
def test_two_forms_that_differ_are_found_when_batches_are_checked(make, monkeypatch, before):
    batch = make([LOAD, SAMPLE, *before, Disagrees(), PACK]).__getitems__([0, 1])
    assert isinstance(batch, LazyBatch)
    monkeypatch.setenv("KARSL_CHECK_BATCHES", "1")
    with pytest.raises(RuntimeError, match=r"Disagrees: transform_batch and apply differ, by up to .* at clip '"):
        keypoint_collate(batch)


@pytest.mark.parametrize("name", ["functions everywhere", "arrays with more channels", "arrays between noise and filling"])
def test_forms_that_agree_pass_the_check(make, monkeypatch, name):
    monkeypatch.setenv("KARSL_CHECK_BATCHES", "1")
    assert_batch_is_its_samples(make(PIPELINES[name]))


def test_a_wrong_number_of_channels_is_a_configuration_error():
    from karsl.testing.strategies import make_clip

    class Wide(AddSpeed):
        def output_channels(self, channels):
            return channels

    with pytest.raises(ConfigError, match=r"Wide.transform_batch returned keypoint of shape \(4, 184, 4\)"):
        Wide()(make_clip(4))


@pytest.mark.parametrize("rates", [[10, 25, 50, 25], [10, None, None, 25]], ids=str)
def test_the_frame_rates_of_records_reach_a_batch(corpus, tmp_path, rates):
    dataset = KArSLDataset(data_root=str(corpus), serialize_data=False)
    records = [{**dataset.get_data_info(n), "fps": rate} for n, rate in enumerate(rates)]
    records = [{key: value for key, value in record.items() if value is not None} for record in records]
    (tmp_path / "rates.json").write_text(json.dumps({"metainfo": {"skeleton": "karsl_184"}, "data_list": records}))
    steps = [LOAD, dict(type="ResampleFPS", fps=20, source_fps=40), dict(type="PadTo", clip_len=30), PACK]
    rated = KeypointDataset(str(tmp_path / "rates.json"), pipeline=steps, seed=0)
    assert_batch_is_its_samples(rated, range(4))
    assert [sample["fps"] for sample in KeypointDataset(rated.ann_file, pipeline=steps[:2]).__getitems__([0, 3])] == [20, 20]
    joined = ConcatDataset([rated, rated])
    torch.testing.assert_close(
        keypoint_collate(joined.__getitems__([3, 5]))["inputs"], torch.stack([rated[i]["inputs"] for i in (3, 1)])
    )
