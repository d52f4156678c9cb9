"""Embedding of all keypoints of a frame in one token."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from karsl.datasets.transforms.streams import bone_parents
from karsl.errors import SkeletonError
from karsl.models.backbones.inputs import add_presence
from karsl.skeletons import Skeleton


class FrameEmbedding(nn.Module):
    """Linear map of the coordinates and presence bits of a frame, and of the shape of some groups, to (N, T, D).

    The shape of a group of g keypoints is the distance of each pair and the direction of each bone, g * (g - 1) / 2 + g * C
    numbers. Distances do not depend on position and rotation, which differ more between signers than hand shapes do. Values
    that need a missing keypoint are 0.

    Args:
        skeleton: Skeleton of V keypoints.
        in_channels: C.
        embed_dims: D.
        shape_groups: Groups whose shape is added.

    Raises:
        SkeletonError: If the skeleton has no such group.
    """

    pairs: Tensor
    bones: Tensor

    def __init__(self, skeleton: Skeleton, in_channels: int, embed_dims: int, shape_groups: Sequence[str] = ()) -> None:
        super().__init__()
        unknown = sorted(set(shape_groups) - set(skeleton.groups))
        if unknown:
            raise SkeletonError(f"shape_groups: no group {unknown} in {skeleton.name!r}: {list(skeleton.groups)}")
        self.shape_groups = tuple(shape_groups)
        members = [torch.arange(skeleton.num_keypoints)[skeleton.groups[group]] for group in self.shape_groups]
        pairs = [torch.combinations(points) for points in members] or [torch.empty(0, 2, dtype=torch.int64)]
        ends = torch.cat(members) if members else torch.empty(0, dtype=torch.int64)
        parents = torch.from_numpy(bone_parents(skeleton).copy())[ends]
        self.register_buffer("pairs", torch.cat(pairs).T.contiguous(), persistent=False)
        self.register_buffer("bones", torch.stack([ends, parents]), persistent=False)
        width = skeleton.num_keypoints * (in_channels + 1) + self.pairs.shape[1] + self.bones.shape[1] * in_channels
        self.linear = nn.Linear(width, embed_dims)
        self.norm = nn.LayerNorm(embed_dims)

    def forward(self, inputs: Tensor, keypoint_mask: Tensor) -> Tensor:
        """Embed each frame.

        Args:
            inputs: float (N, T, V, C); masked values, NaN included, are ignored.
            keypoint_mask: Bool (N, T, V), True for present keypoints.

        Returns:
            (N, T, D).
        """
        points = add_presence(inputs, keypoint_mask)
        features = [points.flatten(2)]
        if self.shape_groups:
            features += [self._distances(points), self._directions(points)]
        return self.norm(self.linear(torch.cat(features, dim=-1)))

    def _distances(self, points: Tensor) -> Tensor:
        difference, present = _difference(points, self.pairs)
        return torch.linalg.vector_norm(difference, dim=-1) * present

    def _directions(self, points: Tensor) -> Tensor:
        difference, present = _difference(points, self.bones)
        return (F.normalize(difference, dim=-1, eps=1e-4) * present.unsqueeze(-1)).flatten(2)


def _difference(points: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """Return differences (N, T, E, C) of pairs of points, int64 (2, E), and their presence (N, T, E) as 0 or 1."""
    first, second = points[:, :, ends[0]], points[:, :, ends[1]]
    return first[..., :-1] - second[..., :-1], first[..., -1] * second[..., -1]
