"""The baseline backbone."""

from __future__ import annotations

import pytest
import torch

from karsl.errors import ConfigError
from karsl.models import STTransformer
from karsl.skeletons import Skeleton, get_skeleton

ARMS = Skeleton("arms", (("pose", ("left_wrist", "right_wrist")), ("rh", ("thumb", "pinky", "palm"))))


def small(skeleton=ARMS, **kwargs) -> STTransformer:
    torch.manual_seed(0)
    return STTransformer(skeleton, embed_dims=16, depth=2, num_heads=2, **kwargs).eval()


def clips(n: int = 2, t: int = 7, v: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(n, t, v, 3, generator=generator)
    return inputs, torch.rand(n, t, v, generator=generator) > 0.3


def test_the_small_size_has_about_1_2_million_parameters():
    count = sum(p.numel() for p in STTransformer("karsl_184").parameters())
    assert 1.1e6 < count < 1.3e6


@pytest.mark.parametrize("name", ["karsl_184", "holistic_543"])
@pytest.mark.parametrize("num_frames", [1, 9])
def test_any_skeleton_and_any_length_give_one_feature_a_clip(name, num_frames):
    v = get_skeleton(name).num_keypoints
    assert small(name)(*clips(3, num_frames, v)).shape == (3, 16)


def test_values_under_a_false_mask_do_not_change_the_output():
    model, (inputs, mask) = small(), clips()
    other = torch.where(mask[..., None], inputs, torch.tensor(float("nan")))
    assert torch.equal(model(inputs, mask), model(other, mask))


def test_a_keypoint_at_the_origin_differs_from_a_missing_one():
    model, (inputs, mask) = small(), clips()
    inputs[:, 0, 0], mask[:, 0, 0] = 0.0, True
    missing = mask.clone()
    missing[:, 0, 0] = False
    assert not torch.allclose(model(inputs, mask), model(inputs, missing))


def test_frames_in_which_nothing_is_present_are_ignored():
    model, (inputs, mask) = small(), clips()
    mask[:, :5] = True
    mask[:, 5:] = False
    assert torch.allclose(model(inputs, mask), model(inputs[:, :5], mask[:, :5]), atol=1e-6)


def test_a_clip_without_any_keypoint_gives_finite_features_and_gradients():
    model, (inputs, mask) = small(), clips()
    mask[0] = False
    features = model(inputs, mask)
    features.sum().backward()
    assert torch.isfinite(features).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_the_order_of_clips_in_a_batch_does_not_matter():
    model, (inputs, mask) = small(), clips()
    assert torch.allclose(model(inputs, mask).flip(0), model(inputs.flip(0), mask.flip(0)), atol=1e-6)


def test_the_order_of_frames_does_matter():
    model, (inputs, mask) = small(), clips()
    assert not torch.allclose(model(inputs, mask), model(inputs.flip(1), mask.flip(1)), atol=1e-4)


def test_a_wrong_number_of_keypoints_names_the_skeleton_and_the_shape():
    with pytest.raises(ValueError, match=r"skeleton 'arms' takes \(N, T, 5, 3\) but got \(2, 7, 6, 3\)"):
        small()(*clips(v=6))


def test_a_clip_that_is_too_long_names_max_frames():
    with pytest.raises(ValueError, match="1 to 4 frames but got T=7"):
        small(max_frames=4)(*clips())


def test_a_mask_of_another_shape_is_rejected():
    inputs, mask = clips()
    with pytest.raises(ValueError, match="keypoint_mask"):
        small()(inputs, mask[:, :3])


def test_heads_that_do_not_divide_the_width_are_rejected():
    with pytest.raises(ConfigError, match="num_heads=3"):
        STTransformer(ARMS, embed_dims=16, num_heads=3)
