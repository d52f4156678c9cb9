"""Spatio-temporal graph convolution backbone in the form of ST-GCN++."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from karsl.datasets.transforms.streams import bone_parents
from karsl.errors import ConfigError
from karsl.models.backbones.inputs import add_presence, check_inputs, mean_over_frames, present_frames
from karsl.registry import MODELS
from karsl.skeletons import Skeleton, get_skeleton


@MODELS.register_module()
class STGCN(BaseModule):
    """Graph convolutions over the bones of a skeleton and multi-branch convolutions over time, as in ST-GCN++.

    The graph has the edges of the skeleton in three subsets: to itself, toward the root and away from it. Every block has a
    learned copy of the three adjacency matrices that starts from the graph, so parts without a bone between them can be
    connected, too. Missing keypoints are 0 with presence 0, so their values do not affect the output. Frames without any
    keypoint are zero in every convolution and have no part in pooling or in the statistics of batch normalization, except
    in clips without any keypoint.

    The defaults are those of ST-GCN++, 2.3 M parameters for `karsl_184`. Of these, 3 * V * V per block are adjacency.

    Args:
        skeleton: A name, a dict such as `dict(name='karsl_184', select=['rh', 'lh'])`, or a `Skeleton`.
            `'auto'` in a config is the output of the pipeline.
        in_channels: Coordinates per keypoint, C; `'auto'` in a config likewise.
        channels: Output channels of each block; the last is D.
        strides: Blocks, by their index, that halve the number of frames.
        dropout_ratio: Dropout probability after the convolutions over time.
        init_cfg: Initialization config of MMEngine.

    Raises:
        ConfigError: If `channels` is empty, or has a number below 6, the number of branches over time.

    Example:
        >>> model = STGCN("hand_42", channels=(8, 16), strides=(1,))
        >>> model(torch.zeros(2, 8, 42, 3), torch.ones(2, 8, 42, dtype=torch.bool)).shape
        torch.Size([2, 16])

    Source: Duan et al. 2022, PYSKL: Towards Good Practices for Skeleton Action Recognition, https://arxiv.org/abs/2205.09443
    """

    def __init__(
        self,
        skeleton: str | Mapping | Skeleton = "karsl_184",
        in_channels: int = 3,
        channels: Sequence[int] = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256),
        strides: Sequence[int] = (4, 7),
        dropout_ratio: float = 0.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if not channels or min(channels) < len(DILATIONS) + 2:
            raise ConfigError(f"STGCN: channels={tuple(channels)}; expected one number of 6 or more per block")
        self.skeleton, self.in_channels = get_skeleton(skeleton), in_channels
        graph = torch.from_numpy(spatial_graph(self.skeleton))
        self.norm = FrameBatchNorm(self.skeleton.num_keypoints * (in_channels + 1))
        sizes = zip((in_channels + 1, *channels[:-1]), channels, strict=True)
        self.blocks = nn.ModuleList(
            GraphBlock(size, out, graph, 2 if i in strides else 1, dropout_ratio) for i, (size, out) in enumerate(sizes)
        )

    def forward(self, inputs: Tensor, keypoint_mask: Tensor) -> Tensor:
        """Encode clips.

        Args:
            inputs: float (N, T, V, C); masked values, NaN included, are ignored.
            keypoint_mask: Bool (N, T, V), True for present keypoints.

        Returns:
            (N, D), the mean over keypoints and present frames.

        Raises:
            ConfigError: If V or C does not match the skeleton.
            ValueError: If T is 0, or the mask has another shape.
        """
        check_inputs("STGCN", self.skeleton, self.in_channels, inputs, keypoint_mask)
        frame_mask = present_frames(keypoint_mask)
        x = add_presence(inputs, keypoint_mask).flatten(2).transpose(1, 2).unsqueeze(3)  # (N, V * C, T, 1)
        x = self.norm(x, frame_mask).unflatten(1, (self.skeleton.num_keypoints, -1)).squeeze(4).permute(0, 2, 3, 1)
        for block in self.blocks:
            x, frame_mask = block(x, frame_mask)
        return mean_over_frames(x.mean(dim=3).transpose(1, 2), frame_mask)


def spatial_graph(skeleton: Skeleton) -> np.ndarray:
    """Return float32 (3, V, V), normalized adjacency: to itself, toward the root, away from the root.

    `x @ graph[k]` gathers the neighbors of each keypoint. An edge between two keypoints of the same distance to the root, as
    in a ring, is directed by their indices.

    Example:
        >>> arm = Skeleton("arm", (("arm", ("a", "b", "c")),), (("a", "b"), ("a", "c")))
        >>> spatial_graph(arm)[1].tolist()
        [[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.5, 0.0, 0.0]]
        >>> spatial_graph(arm)[2].tolist()
        [[0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    parents = bone_parents(skeleton).tolist()
    graph = np.zeros((3, len(parents), len(parents)), np.float32)
    graph[0] = np.eye(len(parents))
    for a, b in skeleton.edges.tolist():
        near, far = sorted((a, b), key=lambda v: (_depth(v, parents), v))
        graph[1, far, near] = graph[2, near, far] = 1
    return graph / np.maximum(graph.sum(axis=1, keepdims=True), 1)


def _depth(keypoint: int, parents: Sequence[int]) -> int:
    depth = 0
    while parents[keypoint] != keypoint:
        keypoint, depth = parents[keypoint], depth + 1
    return depth


class FrameBatchNorm(nn.BatchNorm2d):
    """Batch normalization of (N, C, T, V) whose statistics leave out absent frames, and whose output is 0 there.

    The arguments are those of `nn.BatchNorm2d`, and so are the names of weights and buffers.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, x: Tensor, frame_mask: Tensor) -> Tensor:  # type: ignore[override]
        """Normalize `x` over the frames of bool (N, T) `frame_mask`."""
        weight = frame_mask[:, None, :, None].to(x.dtype)
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps) * weight
        count = weight.sum() * x.shape[3]
        mean = (x * weight).sum(dim=(0, 2, 3)) / count
        centered = x - mean[:, None, None]
        variance = (centered.square() * weight).sum(dim=(0, 2, 3)) / count
        self._update(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return (centered * scale[:, None, None] + self.bias[:, None, None]) * weight

    @torch.no_grad()
    def _update(self, mean: Tensor, variance: Tensor) -> None:
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), self.momentum)


DILATIONS = (1, 2, 3, 4)
"""Dilation of each convolution branch of `TemporalConv`; two more branches pool and pass on."""


class TemporalConv(nn.Module):
    """Six branches over frames, joined: four dilated convolutions of 3 frames, a maximum of 3 frames, and none.

    Args:
        channels: Number of channels in and out.
        stride: Step in frames.
        dropout_ratio: Dropout probability.
    """

    def __init__(self, channels: int, stride: int, dropout_ratio: float) -> None:
        super().__init__()
        self.stride = stride
        width = channels // (len(DILATIONS) + 2)
        widths = [channels - width * (len(DILATIONS) + 1)] + [width] * (len(DILATIONS) + 1)
        self.reduce = nn.ModuleList(nn.Conv2d(channels, size, 1) for size in widths)
        self.norms = nn.ModuleList(FrameBatchNorm(size) for size in widths[:-1])
        self.convs = nn.ModuleList(
            nn.Conv2d(size, size, (3, 1), (stride, 1), (dilation, 0), (dilation, 1))
            for size, dilation in zip(widths, DILATIONS, strict=False)
        )
        self.joined_norm = FrameBatchNorm(channels)
        self.project = nn.Conv2d(channels, channels, 1)
        self.norm = FrameBatchNorm(channels)
        self.dropout = nn.Dropout(dropout_ratio)

    def forward(self, x: Tensor, frame_mask: Tensor, out_mask: Tensor) -> Tensor:
        """Map (N, C, T, V) with its bool (N, T) mask to (N, C, T', V) with its bool (N, T') mask."""
        branches = [reduce(x) for reduce in self.reduce]
        hidden = [F.relu(norm(branch, frame_mask)) for branch, norm in zip(branches, self.norms, strict=False)]
        outputs = [conv(branch) for branch, conv in zip(hidden, self.convs, strict=False)]
        outputs.append(F.max_pool2d(hidden[-1], (3, 1), (self.stride, 1), (1, 0)))
        outputs.append(branches[-1][:, :, :: self.stride])
        joined = self.project(F.relu(self.joined_norm(torch.cat(outputs, dim=1), out_mask)))
        return self.dropout(self.norm(joined, out_mask))


class GraphBlock(nn.Module):
    """Graph convolution with learned adjacency, then `TemporalConv`, each with a residual connection.

    Args:
        in_channels: Number of channels in.
        out_channels: Number of channels out.
        graph: (3, V, V), initial adjacency.
        stride: Step in frames.
        dropout_ratio: Dropout probability.
    """

    def __init__(self, in_channels: int, out_channels: int, graph: Tensor, stride: int, dropout_ratio: float) -> None:
        super().__init__()
        self.stride = stride
        self.graph = nn.Parameter(graph.clone())
        self.conv = nn.Conv2d(in_channels, out_channels * len(graph), 1)
        self.norm = FrameBatchNorm(out_channels)
        self.temporal = TemporalConv(out_channels, stride, dropout_ratio)
        self.resize = None if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, frame_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, T, V) and its bool (N, T) mask to (N, C', T', V) and its mask."""
        residual = x if self.resize is None else self.resize(x)
        subsets = self.conv(x).unflatten(1, (len(self.graph), -1))
        gathered = torch.einsum("nkctv,kvw->nctw", subsets, self.graph)
        x = F.relu(self.norm(gathered, frame_mask) + residual) * frame_mask[:, None, :, None].to(x.dtype)
        # A frame stays if it or the next one, which is dropped, is present.
        out_mask = F.max_pool1d(frame_mask[:, None].float(), self.stride, ceil_mode=True).squeeze(1) > 0
        x = F.relu(self.temporal(x, frame_mask, out_mask) + residual[:, :, :: self.stride])
        return x * out_mask[:, None, :, None].to(x.dtype), out_mask
