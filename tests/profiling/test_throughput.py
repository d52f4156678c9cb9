"""Throughput of a loader: what is counted, and what is advised."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader

from karsl.datasets import KArSLDataset, keypoint_collate
from karsl.datasets.combine import MapDataset
from karsl.datasets.transforms import KeypointTransform
from karsl.errors import ConfigError
from karsl.formats import open_clips
from karsl.io.reader import ClipReader
from karsl.pack.write import pack_clips
from karsl.profiling.throughput import Stages, Throughput, advice, measure, profile_stages
from karsl.testing import make_corpus

STEPS = [
    dict(type="LoadKeypoints"),
    dict(type="TSNSampleFrames", clip_len=8),
    dict(type="RandomFlip"),
    dict(type="PackKeypointInputs"),
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> KArSLDataset:
    root = make_corpus(tmp_path_factory.mktemp("corpus") / "data", signs=2, train_clips=4, test_clips=1)
    return KArSLDataset(data_root=str(root), pipeline=STEPS, index_cache=None)


def figures(workers: int, rate: float, wait: float = 0.5) -> Throughput:
    return Throughput(workers, rate, 0.1, 1.0, 2.0, 20.0, wait)


class CountedLoader:
    """Four batches of three samples per epoch."""

    num_workers = 3

    def __init__(self) -> None:
        self.epochs = 0

    def __iter__(self):
        self.epochs += 1
        return iter([{"inputs": torch.zeros(3, 2)}] * 4)


def test_a_short_loader_starts_again_and_rates_count_samples():
    loader = CountedLoader()
    result = measure(loader, seconds=0.02, step_ms=0)
    assert loader.epochs > 1
    assert result.num_workers == 3
    assert result.samples_per_s > 0
    assert result.wait_ratio == 1, "without a step all the time is spent waiting"


@pytest.mark.parametrize(
    "batch", [torch.zeros(5, 2), [torch.zeros(5, 2), torch.zeros(5)], {"label": [0] * 5}, ["a"] * 5], ids=str
)
def test_batches_of_any_common_structure_are_counted(batch):
    from karsl.profiling.throughput import _batch_size

    assert _batch_size(batch) == 5


def test_a_rate_is_samples_over_the_time_of_waiting(monkeypatch):
    clock = iter(range(100))  # each look at the clock is a second later
    monkeypatch.setattr("karsl.profiling.throughput.time.perf_counter", lambda: next(clock))
    monkeypatch.setattr("karsl.profiling.throughput.time.sleep", lambda seconds: None)
    result = measure(CountedLoader(), seconds=6, step_ms=3000)
    assert result.first_batch_s == 1
    assert result.samples_per_s == 3, "three samples in the second that each batch takes"
    assert (result.batch_ms, result.batch_ms_p95) == (1000, 1000)
    assert result.wait_ratio == 0.25, "a second of waiting, three seconds of a step"


def test_a_loader_without_batches_is_one_sentence():
    with pytest.raises(ConfigError, match="gives no batch"):
        measure([], seconds=0.01)


def test_every_stage_of_a_sample_is_timed_and_compiled_ones_are_named(dataset):
    pytest.importorskip("numba")
    stages = profile_stages(dataset, keypoint_collate, samples=4)
    assert list(stages.micros) == ["record", "LoadKeypoints", "TSNSampleFrames", "RandomFlip", "PackKeypointInputs"]
    assert stages.batched == ("LoadKeypoints", "TSNSampleFrames", "RandomFlip", "PackKeypointInputs")
    assert stages.single == ()
    assert stages.batch_micros > 0
    assert stages.decodes_files


def test_a_transform_outside_the_compiled_pass_is_named(dataset):
    pytest.importorskip("numba")

    def double(results):
        return results

    other = KArSLDataset(data_root=dataset.data_root, pipeline=[*STEPS[:2], double, *STEPS[2:]], index_cache=None)
    stages = profile_stages(other, keypoint_collate, samples=4)
    assert stages.single == ("double",)
    text = advice([figures(0, 100)], stages, collate_name="keypoint_collate")
    assert any(line.startswith("double runs once per sample") for line in text)


class Halves(KeypointTransform):
    """A transform whose two forms differ."""

    def apply(self, results, params):
        return {"keypoint": results["keypoint"] / 2}

    def transform_batch(self, batch):
        return {"keypoint": batch.keypoint / 4}


def test_a_transform_whose_forms_differ_is_named(dataset):
    pytest.importorskip("numba")
    other = KArSLDataset(data_root=dataset.data_root, pipeline=[*STEPS[:2], Halves(), *STEPS[2:]], index_cache=None)
    stages = profile_stages(other, keypoint_collate, samples=4)
    assert stages.disagreement.startswith("Halves: transform_batch and apply differ, by up to ")
    assert stages.disagreement in advice([figures(0, 100)], stages)
    assert profile_stages(dataset, keypoint_collate, samples=4).disagreement == ""


def test_transforms_of_a_wrapper_are_stages_too(dataset):
    pytest.importorskip("numba")
    inner = KArSLDataset(data_root=dataset.data_root, pipeline=STEPS[:2], index_cache=None)
    stages = profile_stages(MapDataset(inner, STEPS[2:]), keypoint_collate, samples=4)
    assert list(stages.micros) == ["record", "LoadKeypoints", "TSNSampleFrames", "RandomFlip", "PackKeypointInputs"]
    assert stages.single == ()
    assert stages.batch_micros > 0


def test_clips_of_timed_batches_are_read_from_their_files(dataset, monkeypatch):
    pytest.importorskip("numba")
    read = []

    def counted(decode):
        return lambda self, record, *args: read.append(record) or decode(self, record, *args)

    for name in ("_decode", "_decode_member"):  # of one clip, and of those of a batch
        monkeypatch.setattr(ClipReader, name, counted(getattr(ClipReader, name)))
    new = KArSLDataset(data_root=dataset.data_root, pipeline=STEPS, index_cache=None)
    profile_stages(new, keypoint_collate, samples=2)
    assert len({record["clip_id"] for record in read}) == len(read) == 8, "two one at a time, then three batches of two more"


def test_clips_of_a_pack_are_not_decoded(dataset, tmp_path):
    pack_clips(open_clips(dataset.data_root), tmp_path / "pack")
    packed = KArSLDataset("annotations.json", data_root=str(tmp_path / "pack"), pipeline=STEPS, index_cache=None)
    assert not profile_stages(packed, samples=4).decodes_files


def test_a_transform_that_occurs_twice_has_two_stages(dataset):
    twice = KArSLDataset(data_root=dataset.data_root, pipeline=[*STEPS[:3], *STEPS[2:]], index_cache=None)
    assert "RandomFlip 2" in profile_stages(twice, samples=4).micros


def test_samples_that_are_skipped_in_training_are_not_timed(dataset):
    def fail(results):
        raise ValueError("broken clip")

    broken = KArSLDataset(data_root=dataset.data_root, pipeline=[*STEPS[:1], fail], index_cache=None, on_error="skip")
    assert list(profile_stages(broken, samples=4).micros) == ["record", "LoadKeypoints"]


def test_a_dataset_of_another_kind_has_no_stages():
    assert profile_stages(torch.utils.data.TensorDataset(torch.zeros(3))) is None


def test_advice_names_the_best_number_of_workers_and_archives():
    stages = Stages({"record": 1, "LoadKeypoints": 90}, batched=("LoadKeypoints",), batch_micros=80, decodes_files=True)
    text = advice([figures(0, 100), figures(2, 250)], stages)
    assert text[0] == "num_workers=2 is fastest, 2.5 times num_workers=0"
    assert "karsl pack SOURCE PACK" in text[1]
    assert text[-1] == "slowest stage of a single sample: LoadKeypoints (90 us)"


def test_advice_names_why_samples_are_made_one_by_one():
    pytest.importorskip("numba")
    single = Stages({"record": 1, "LoadKeypoints": 90}, single=("LoadKeypoints",))
    assert "whole batches need a known skeleton" in advice([figures(0, 100)], single, collate_name="pseudo_collate")[0]
    batched = Stages({"record": 1, "LoadKeypoints": 90}, batched=("LoadKeypoints",))
    text = advice([figures(0, 100)], batched, collate_name="pseudo_collate")
    assert text[0].startswith("collate_fn=pseudo_collate collates samples one by one")


def test_a_loader_that_keeps_up_is_reported_so():
    text = advice([figures(2, 900, wait=0.01)], None)
    assert text == ["the loader keeps up: with num_workers=2 a step of 20 ms waits 1.0 % of the time"]


def test_a_dataloader_is_measured_with_its_workers(dataset):
    loader = DataLoader(dataset, batch_size=4, num_workers=1, collate_fn=keypoint_collate, persistent_workers=True)
    assert measure(loader, seconds=0.05, step_ms=1).num_workers == 1
