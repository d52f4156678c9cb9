"""Shape of hands in the embedding of a frame, by known answers."""

from __future__ import annotations

import math

import pytest
import torch

from karsl.errors import SkeletonError
from karsl.models.backbones.frame_embedding import FrameEmbedding
from tests.models.backbones.conftest import ARMS, clips


@pytest.fixture
def embedding() -> FrameEmbedding:
    return FrameEmbedding(ARMS, 2, 4, ["rh"])


POINTS = torch.tensor([[[[9.0, 9], [9, 9], [0, 0], [6, 8], [3, 0]]]])  # wrists, thumb, pinky, palm


def features(embedding: FrameEmbedding, points: torch.Tensor, mask: torch.Tensor) -> list[float]:
    """Shape of the hand: the values after coordinates and presence bits of the frame."""
    found: list[torch.Tensor] = []
    embedding.linear.register_forward_pre_hook(lambda _, args: found.append(args[0]))
    embedding(points, mask)
    return found[-1][0, 0, 5 * 3 :].tolist()


def test_the_shape_of_a_group_is_its_distances_and_the_directions_of_its_bones(embedding):
    shape = features(embedding, POINTS, torch.ones(1, 1, 5, dtype=torch.bool))
    assert shape[:3] == pytest.approx([10, 3, math.hypot(3, 8)])  # thumb-pinky, thumb-palm, pinky-palm
    toward_palm = [3 / math.hypot(3, 8), 8 / math.hypot(3, 8)]
    assert shape[3:] == pytest.approx([0, 0, *toward_palm, 1, 0])  # the thumb is the root


def test_values_that_need_a_missing_keypoint_are_zero(embedding):
    mask = torch.tensor([[[True, True, True, False, True]]])
    assert features(embedding, POINTS, mask) == pytest.approx([0, 3, 0, 0, 0, 0, 0, 1, 0])


def test_coinciding_keypoints_have_finite_gradients(embedding):
    points = torch.zeros(1, 1, 5, 2, requires_grad=True)
    embedding(points, torch.ones(1, 1, 5, dtype=torch.bool)).square().sum().backward()
    assert torch.isfinite(points.grad).all()


def test_a_missing_keypoint_of_any_value_changes_nothing(embedding):
    inputs, mask = clips()
    other = torch.where(mask[..., None], inputs, torch.tensor(float("nan")))
    assert torch.equal(embedding(inputs[..., :2], mask), embedding(other[..., :2], mask))


def test_an_unknown_group_is_named():
    with pytest.raises(SkeletonError, match=r"no group \['lh'\] in 'arms': \['pose', 'rh'\]"):
        FrameEmbedding(ARMS, 3, 4, ["lh"])
