"""Score files of an evaluation: names of clips below wrappers, files in the order of the dataset."""

from __future__ import annotations

import json

import mmengine.dataset as mm
import numpy as np
import pytest
import torch
import torch.utils.data as torch_data

from karsl.datasets import ConcatDataset, FilterDataset, KArSLDataset
from karsl.errors import ConfigError
from karsl.evaluation import dump_metric, read_scores

PIPELINE = [dict(type="LoadKeypoints"), dict(type="PackKeypointInputs")]


@pytest.fixture
def test_set(corpus):
    """8 clips of signer 02."""
    return KArSLDataset(
        data_root=str(corpus), filter_cfg=dict(split="test", signers=["02"]), pipeline=PIPELINE, label_table="labels.csv"
    )


def dump(path, dataset, order=None) -> None:
    """Evaluate as a loader does: the samples of the dataset, each with the score of its own label."""
    metric = dump_metric(path, dataset, checkpoint="epoch_1.pth xxh3:0")
    for index in range(len(dataset)) if order is None else order:
        sample = dataset[index]
        scores = torch.nn.functional.one_hot(torch.tensor(sample["label"]), 4).float()
        metric.process(
            None, [{"pred_score": scores, "gt_label": sample["label"], "pred_label": 0, "sample_idx": sample["sample_idx"]}]
        )
    assert metric.evaluate(len(dataset)) == {}


def names(dataset) -> list[str]:
    return [dataset.get_data_info(index)["clip_id"] for index in range(len(dataset))]


def test_scores_have_the_metadata_of_clips_and_classes(test_set, tmp_path):
    dump(tmp_path / "a.npz", test_set)
    found = read_scores(tmp_path / "a.npz")
    assert found.clip_id.tolist() == names(test_set)
    assert found.label.tolist() == found.scores.argmax(axis=1).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert found.sign.tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert set(found.signer.tolist()) == {"02"}
    assert set(found.category.tolist()) == {"Numbers"}
    assert found.classes.tolist() == list(test_set.metainfo["classes"])
    assert found.classes_ar.tolist() == list(test_set.metainfo["classes_ar"])
    assert found.signs.tolist() == [1, 2, 3, 4]
    assert found.checkpoint.tolist() == ["epoch_1.pth xxh3:0"]


@pytest.mark.parametrize(
    ("wrap", "expected"),
    [
        (lambda d: FilterDataset(d, predicate=dict(signs=[2, 4])), [2, 3, 6, 7]),
        (lambda d: ConcatDataset([d, d]), [*range(8), *range(8)]),
        (lambda d: mm.ConcatDataset([d, d]), [*range(8), *range(8)]),
        (lambda d: mm.RepeatDataset(d, 2), [*range(8), *range(8)]),
        (lambda d: _with_metainfo(torch_data.Subset(d, [5, 1]), d), [5, 1]),
    ],
    ids=["filter", "concat", "concat of MMEngine", "repeat of MMEngine", "subset of torch"],
)
def test_clips_below_wrappers_are_named(test_set, tmp_path, wrap, expected):
    dataset = wrap(test_set)
    if isinstance(dataset, torch_data.Subset):
        dataset.get_data_info = test_set.get_data_info
    dump(tmp_path / "a.npz", dataset)
    own = names(test_set)
    assert read_scores(tmp_path / "a.npz").clip_id.tolist() == [own[index] for index in expected]


def _with_metainfo(dataset, source):
    dataset.metainfo = source.metainfo
    return dataset


def test_another_order_is_kept_and_refused_where_names_would_be_wrong(test_set, tmp_path):
    dump(tmp_path / "a.npz", test_set, order=reversed(range(8)))
    assert read_scores(tmp_path / "a.npz").clip_id.tolist() == names(test_set)[::-1]
    with pytest.raises(ConfigError, match="were not evaluated in order"):
        dump(tmp_path / "b.npz", mm.RepeatDataset(test_set, 2), order=reversed(range(16)))
    assert not (tmp_path / "b.npz").exists()


def test_the_json_form_names_clips_too(test_set, tmp_path):
    dump(tmp_path / "a.json", mm.ConcatDataset([test_set, test_set]))
    rows = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["predictions"]
    assert [row["clip_id"] for row in rows] == names(test_set) * 2
    assert {row["signer"] for row in rows} == {"02"}


def test_other_suffixes_and_datasets_without_names_are_refused(test_set, tmp_path):
    with pytest.raises(ConfigError, match=r"give a name in \.npz"):
        dump_metric(tmp_path / "a.pkl", test_set)
    with pytest.raises(ConfigError, match="list has no get_data_info"):
        dump_metric(tmp_path / "a.npz", [1, 2])
    dump_metric(tmp_path / "a.json", [1, 2])


def test_records_without_names_are_refused(tmp_path):
    class Unnamed:
        metainfo: dict = {}

        def get_data_info(self, index):
            return {"sample_idx": index}

    metric = dump_metric(tmp_path / "a.npz", Unnamed())
    metric.process(None, [{"pred_score": torch.ones(2), "gt_label": 0, "sample_idx": 0}])
    with pytest.raises(ConfigError, match="have no 'clip_id'"):
        metric.evaluate(1)


def test_clips_without_label_are_written(test_set, tmp_path):
    metric = dump_metric(tmp_path / "a.npz", test_set)
    metric.process(None, [{"pred_score": torch.tensor([0.5, 0.25, 0.125, 0.125]), "gt_label": None, "sample_idx": 3}])
    metric.evaluate(1)
    found = read_scores(tmp_path / "a.npz")
    assert found.label.tolist() == [-1]
    np.testing.assert_array_equal(found.scores, np.array([[0.5, 0.25, 0.125, 0.125]], np.float32))
