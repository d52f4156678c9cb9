"""What every backbone has in common: shapes, masks, any length, any skeleton, and enough capacity to learn."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from karsl.models import ClassifierHead, KeypointRecognizer
from karsl.models import backbones as package
from karsl.skeletons import get_skeleton
from tests.models.backbones.conftest import SMALL, clips, small

pytestmark = pytest.mark.parametrize("backbone", SMALL, ids=lambda backbone: backbone.__name__)


def test_every_backbone_is_covered(backbone):
    assert {cls.__name__ for cls in SMALL} == set(package.__all__)


@pytest.mark.parametrize("skeleton", ["karsl_184", "mp_75", "hand_42", "coco_17"])
def test_sixteen_clips_are_learned_by_heart(backbone, skeleton):
    label, (motion, mask) = torch.arange(16), clips(16, 5, get_skeleton(skeleton).num_keypoints)
    inputs = motion[:, :1] + 0.1 * motion  # a pose per clip, with some motion
    model = KeypointRecognizer(small(backbone, skeleton, dropout_ratio=0.0), ClassifierHead(16, 16)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(80):
        loss = model(inputs, mask, label, mode="loss")["loss_cls"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.1 and model.eval()(inputs, mask).argmax(dim=1).equal(label):
            return
        model.train()
    raise AssertionError(f"loss {loss} after 80 steps")


@pytest.mark.parametrize("num_frames", [1, 2, 9])
def test_any_length_gives_one_feature_per_clip(backbone, num_frames):
    assert small(backbone)(*clips(3, num_frames)).shape == (3, 16)


def test_values_under_a_false_mask_do_not_change_the_output(backbone):
    model, (inputs, mask) = small(backbone), clips()
    other = torch.where(mask[..., None], inputs, torch.tensor(float("nan")))
    assert torch.equal(model(inputs, mask), model(other, mask))


def test_a_keypoint_at_the_origin_differs_from_a_missing_one(backbone):
    model, (inputs, mask) = small(backbone), clips()
    inputs[:, 0, 0], mask[:, 0, 0] = 0.0, True
    missing = mask.clone()
    missing[:, 0, 0] = False
    assert not torch.allclose(model(inputs, mask), model(inputs, missing))


@pytest.mark.parametrize("present", [1, 4, 5])
def test_frames_after_the_end_are_ignored(backbone, present):
    model, (inputs, mask) = small(backbone), clips()
    mask[:, :present, 0] = True
    mask[:, present:] = False
    assert torch.allclose(model(inputs, mask), model(inputs[:, :present], mask[:, :present]), atol=1e-6)


def test_frames_after_the_end_do_not_change_training(backbone):
    model, (inputs, mask) = small(backbone, dropout_ratio=0.0).train(), clips()
    mask[:, :5, 0] = True
    mask[:, 5:] = False
    assert torch.allclose(model(inputs, mask), model(inputs[:, :5], mask[:, :5]), atol=1e-5)


def test_a_clip_without_any_keypoint_gives_finite_features_and_gradients(backbone):
    model, (inputs, mask) = small(backbone, dropout_ratio=0.0).train(), clips()
    mask[0] = False
    features = model(inputs, mask)
    features.square().sum().backward()
    assert torch.isfinite(features).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_the_other_clips_of_a_batch_do_not_matter(backbone):
    model, (inputs, mask) = small(backbone), clips()
    assert torch.allclose(model(inputs, mask).flip(0), model(inputs.flip(0), mask.flip(0)), atol=1e-6)
    assert torch.allclose(model(inputs, mask)[:1], model(inputs[:1], mask[:1]), atol=1e-6)


def test_the_order_of_frames_matters(backbone):
    model, (inputs, mask) = small(backbone), clips()
    assert not torch.allclose(model(inputs, mask), model(inputs.flip(1), mask.flip(1)), atol=1e-4)


def test_every_weight_gets_a_gradient(backbone):
    model, (inputs, mask) = small(backbone).train(), clips()
    F.cross_entropy(model(inputs, mask), torch.tensor([0, 1])).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_a_wrong_number_of_keypoints_names_the_skeleton_and_the_shape(backbone):
    sentence = rf"{backbone.__name__} for skeleton 'arms' takes \(N, T, 5, 3\) but got \(2, 7, 6, 3\)"
    with pytest.raises(ValueError, match=sentence):
        small(backbone)(*clips(v=6))


def test_a_mask_of_another_shape_is_rejected(backbone):
    inputs, mask = clips()
    with pytest.raises(ValueError, match="keypoint_mask"):
        small(backbone)(inputs, mask[:, :3])


def test_a_clip_without_frames_is_rejected(backbone):
    with pytest.raises(ValueError, match="at least 1 frame but got T=0"):
        small(backbone)(*clips(t=0))
