"""STGCN: its graph, its normalization and its steps in time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from karsl.errors import ConfigError
from karsl.models import STGCN
from karsl.models.backbones.stgcn import FrameBatchNorm, GraphBlock, spatial_graph
from karsl.skeletons import Skeleton, get_skeleton
from tests.models.backbones.conftest import ARMS

CHAIN = Skeleton("chain", (("arm", ("shoulder", "elbow", "wrist")),), (("wrist", "elbow"), ("elbow", "shoulder")))


def test_bones_point_toward_the_root_in_one_subset_and_away_from_it_in_the_other():
    itself, inward, outward = spatial_graph(CHAIN).tolist()
    assert itself == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert inward == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert outward == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("name", ["karsl_184", "coco_17"])
def test_every_bone_of_a_skeleton_is_in_the_graph_once_per_direction(name):
    skeleton = get_skeleton(name)
    graph = spatial_graph(skeleton)
    bones = len({tuple(sorted(edge)) for edge in skeleton.edges.tolist()})
    assert (graph[1] > 0).sum() == (graph[2] > 0).sum() == bones
    assert ((graph[1] > 0) == (graph[2] > 0).T).all()
    assert set(graph.sum(axis=1).round(6).ravel().tolist()) == {0, 1}


def test_batch_statistics_are_those_of_the_present_frames():
    torch.manual_seed(0)
    norm, reference, x = FrameBatchNorm(4), nn.BatchNorm2d(4), torch.randn(3, 4, 6, 5)
    frame_mask = torch.zeros(3, 6, dtype=torch.bool)
    frame_mask[:, 1:4] = True
    out = norm(torch.where(frame_mask[:, None, :, None], x, torch.tensor(1e3)), frame_mask)
    torch.testing.assert_close(out[:, :, 1:4], reference(x[:, :, 1:4]))
    assert not out[:, :, 4:].any()
    torch.testing.assert_close(norm.state_dict(), reference.state_dict())
    torch.testing.assert_close(norm.eval()(x, frame_mask)[:, :, 1:4], reference.eval()(x[:, :, 1:4]))


def test_a_stride_halves_the_frames_and_keeps_those_whose_pair_is_present():
    block = GraphBlock(4, 8, torch.from_numpy(spatial_graph(CHAIN)), stride=2, dropout_ratio=0.0)
    frame_mask = torch.tensor([[False, True, False, False, True]])
    out, mask = block(torch.randn(1, 4, 5, 3), frame_mask)
    assert out.shape == (1, 8, 3, 3)
    assert mask.tolist() == [[True, False, True]]
    assert not out[:, :, 1].any()


def test_too_few_channels_for_the_branches_are_rejected():
    with pytest.raises(ConfigError, match=r"channels=\(64, 4\); expected one number of 6 or more"):
        STGCN(ARMS, channels=(64, 4))
