"""Preprocessor, head and the recognizer's three modes."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from karsl.errors import ConfigError
from karsl.models import ClassifierHead, KeypointDataPreprocessor, KeypointRecognizer, STTransformer
from karsl.skeletons import Skeleton

HAND = Skeleton("hand", (("rh", ("thumb", "pinky")),))


@pytest.fixture
def model() -> KeypointRecognizer:
    torch.manual_seed(0)
    backbone = STTransformer(HAND, embed_dims=8, depth=1, num_heads=2, dropout_ratio=0.0)
    return KeypointRecognizer(backbone, ClassifierHead(3, in_channels=8)).eval()


def samples() -> list[dict]:
    mask = torch.ones(4, 2, dtype=torch.bool)
    return [{"inputs": torch.rand(4, 2, 3), "keypoint_mask": mask, "label": i, "sample_idx": 7 + i} for i in range(2)]


def as_lists(rows: list[dict]) -> dict:
    return {key: [row[key] for row in rows] for key in rows[0]}


def as_tensors(rows: list[dict]) -> dict:
    return {key: torch.stack([torch.as_tensor(row[key]) for row in rows]) for key in rows[0]}


def test_stacked_and_listed_batches_become_the_same():
    rows = samples()
    prepare = KeypointDataPreprocessor()
    listed, stacked = prepare(as_lists(rows)), prepare(as_tensors(rows))
    assert listed.keys() == stacked.keys()
    assert all(torch.equal(listed[key], stacked[key]) for key in listed)
    assert listed["label"].dtype == torch.int64


def test_other_keys_pass_through():
    assert KeypointDataPreprocessor()(as_lists(samples()) | {"clip_id": ["a", "b"]})["clip_id"] == ["a", "b"]


def test_clips_of_different_length_name_the_remedy():
    rows = samples()
    rows[1]["inputs"] = torch.rand(5, 2, 3)
    with pytest.raises(ValueError, match=r"\(4, 2, 3\), \(5, 2, 3\).*TSNSampleFrames"):
        KeypointDataPreprocessor()(as_lists(rows))


def test_a_batch_that_is_not_packed_names_the_remedy():
    with pytest.raises(TypeError, match="PackKeypointInputs"):
        KeypointDataPreprocessor()({"keypoint": torch.zeros(1)})


def test_tensor_mode_gives_logits(model):
    batch = as_tensors(samples())
    assert model(batch["inputs"], batch["keypoint_mask"]).shape == (2, 3)


def test_predict_mode_gives_one_dict_a_clip(model):
    rows = model.test_step(as_lists(samples()))
    assert [row["sample_idx"] for row in rows] == [7, 8]
    assert [row["gt_label"] for row in rows] == [0, 1]
    assert all(math.isclose(float(row["pred_score"].sum()), 1, abs_tol=1e-5) for row in rows)
    assert all(row["pred_label"] == int(row["pred_score"].argmax()) for row in rows)


def test_predict_mode_needs_no_label(model):
    batch = as_tensors(samples())
    rows = model(batch["inputs"], batch["keypoint_mask"], mode="predict")
    assert rows[0]["gt_label"] is None


def test_loss_mode_gives_loss_and_accuracy_and_every_weight_a_gradient(model):
    losses = model(**as_tensors(samples()), mode="loss")
    assert set(losses) == {"loss_cls", "top1_acc"}
    losses["loss_cls"].backward()
    assert all(p.grad is not None for p in model.parameters())


def test_loss_mode_without_labels_is_rejected(model):
    batch = as_tensors(samples())
    with pytest.raises(ValueError, match="needs labels"):
        model(batch["inputs"], batch["keypoint_mask"], mode="loss")


def test_an_unknown_mode_is_rejected(model):
    with pytest.raises(ValueError, match="mode='train'"):
        model(**as_tensors(samples()), mode="train")


def test_the_loss_of_known_logits():
    head = ClassifierHead(2, in_channels=1)
    losses = head.loss(torch.tensor([[0.0, 0.0], [0.0, math.log(3.0)]]), torch.tensor([0, 1]))
    assert losses["loss_cls"].item() == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)
    assert losses["top1_acc"].item() == 1.0


def test_label_smoothing_keeps_the_loss_of_a_perfect_answer_above_zero():
    logits, label = torch.tensor([[50.0, 0.0]]), torch.tensor([0])
    assert ClassifierHead(2, 1).loss(logits, label)["loss_cls"].item() == pytest.approx(0, abs=1e-6)
    assert ClassifierHead(2, 1, label_smoothing=0.1).loss(logits, label)["loss_cls"].item() == pytest.approx(2.5)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_outside_the_classes_is_named(label):
    with pytest.raises(ValueError, match=rf"label {label} is outside 0\.\.2"):
        ClassifierHead(3, 1).loss(torch.zeros(1, 3), torch.tensor([label]))


def test_the_loss_reads_no_tensor_of_a_device():
    """A tensor without memory cannot be read; on a GPU a look would wait for all that was asked of it."""
    logits, label = torch.zeros(2, 3, device="meta"), torch.zeros(2, dtype=torch.int64, device="meta")
    assert ClassifierHead(3, 1).loss(logits, label)["loss_cls"].device.type == "meta"


@pytest.mark.parametrize("listed", [False, True])
def test_labels_of_a_training_batch_are_looked_at_before_they_go_to_the_device(model, listed):
    batch = (as_lists if listed else as_tensors)([{**row, "label": 7 * row["label"]} for row in samples()])
    sentence = r"label 7 is outside 0\.\.2"
    with pytest.raises(ValueError, match=sentence):
        model.data_preprocessor(batch, training=True)
    with pytest.raises(ValueError, match=sentence):
        copy.deepcopy(model).data_preprocessor(batch, True)
    assert model.data_preprocessor(batch, False)["label"].tolist() == [0, 7]


def test_auto_classes_without_build_runner_name_the_remedy():
    with pytest.raises(ConfigError, match="build_runner"):
        ClassifierHead("auto", 8)


def test_mixup_weighs_the_losses_of_both_labels(model, monkeypatch):
    monkeypatch.setattr("karsl.models.recognizer.draw_share", lambda alpha: 0.75)
    monkeypatch.setattr(torch, "randperm", lambda n: torch.tensor([1, 0]))
    model.mixup, batch = 0.2, as_tensors(samples())
    plain = model(**batch, mode="loss")["loss_cls"]
    mixed = batch | {"inputs": 0.75 * batch["inputs"] + 0.25 * batch["inputs"].flip(0)}
    own, other = (
        model(**mixed | {"label": label}, mode="loss")["loss_cls"] for label in (batch["label"], 1 - batch["label"])
    )
    model.train()
    torch.testing.assert_close(model(**batch, mode="loss")["loss_cls"], 0.75 * own + 0.25 * other)
    assert torch.equal(model.eval()(**batch, mode="loss")["loss_cls"], plain)


def test_a_negative_mixup_is_rejected(model):
    with pytest.raises(ConfigError, match="mixup=-1"):
        KeypointRecognizer(model.backbone, model.cls_head, mixup=-1)
