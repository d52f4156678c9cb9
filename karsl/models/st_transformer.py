"""The baseline backbone: one token per keypoint group and frame."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from karsl.errors import ConfigError
from karsl.models.attention import SpaceTimeBlock
from karsl.registry import MODELS
from karsl.skeletons import Skeleton, get_skeleton


@MODELS.register_module()
class STTransformer(BaseModule):
    """Spatial-temporal transformer over the groups of a skeleton.

    Each group of a frame (pose, face, right hand, left hand) becomes one token by a linear map of its coordinates and
    presence bits. Missing keypoints enter as 0 with presence 0, so their stored values cannot reach the output. Frames
    in which nothing is present are neither attended to nor pooled; a clip with no present frame at all is treated as
    if all its frames were.

    The defaults are the small size, 1.2 M parameters for `karsl_184`.

    Args:
        skeleton: A name, a dict such as `dict(name='karsl_184', select=['rh', 'lh'])`, or the object; gives V and the
            groups. `'auto'` in a config is what the pipeline yields.
        in_channels: C, coordinates of a keypoint; `'auto'` in a config likewise.
        embed_dims: D, size of a token.
        depth: Blocks of spatial attention, temporal attention and perceptron.
        num_heads: Attention heads; divides D.
        mlp_ratio: Hidden size of the perceptron over D.
        dropout_ratio: Dropped values in training.
        max_frames: Longest T that can be given.
        init_cfg: MMEngine's initialisation config.

    Raises:
        ConfigError: `num_heads` does not divide `embed_dims`.

    Example:
        >>> model = STTransformer("karsl_184", embed_dims=16, depth=1)
        >>> model(torch.zeros(2, 8, 184, 3), torch.ones(2, 8, 184, dtype=torch.bool)).shape
        torch.Size([2, 16])
    """

    def __init__(
        self,
        skeleton: str | Mapping | Skeleton = "karsl_184",
        in_channels: int = 3,
        embed_dims: int = 128,
        depth: int = 4,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        dropout_ratio: float = 0.1,
        max_frames: int = 128,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if embed_dims % num_heads:
            raise ConfigError(f"STTransformer: num_heads={num_heads} does not divide embed_dims={embed_dims}")
        self.skeleton = get_skeleton(skeleton)
        self.in_channels, self.max_frames = in_channels, max_frames
        self.groups = tuple(self.skeleton.groups.values())
        widths = [(group.stop - group.start) * (in_channels + 1) for group in self.groups]
        self.embed = nn.ModuleList(nn.Linear(width, embed_dims) for width in widths)
        self.group_embed = nn.Parameter(torch.empty(len(self.groups), embed_dims))
        self.time_embed = nn.Parameter(torch.empty(max_frames, embed_dims))
        self.blocks = nn.ModuleList(SpaceTimeBlock(embed_dims, num_heads, mlp_ratio, dropout_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dims)
        # 0.02 is the usual width for learned position tables (BERT, ViT).
        nn.init.trunc_normal_(self.group_embed, std=0.02)
        nn.init.trunc_normal_(self.time_embed, std=0.02)

    def forward(self, inputs: Tensor, keypoint_mask: Tensor) -> Tensor:
        """Describe clips.

        Args:
            inputs: float (N, T, V, C); values under a False mask are ignored, NaN included.
            keypoint_mask: Bool (N, T, V), True = present.

        Returns:
            (N, D), the mean over groups and present frames.

        Raises:
            ConfigError: V or C is not the skeleton's.
            ValueError: T is above `max_frames`, or the mask has another shape.
        """
        self._check(inputs, keypoint_mask)
        frame_mask = keypoint_mask.any(dim=-1)
        frame_mask = frame_mask | ~frame_mask.any(dim=1, keepdim=True)
        x = self._tokens(inputs, keypoint_mask)
        for block in self.blocks:
            x = block(x, frame_mask)
        weight = frame_mask[:, :, None].to(x.dtype)
        return (self.norm(x).mean(dim=2) * weight).sum(dim=1) / weight.sum(dim=1)

    def _tokens(self, inputs: Tensor, keypoint_mask: Tensor) -> Tensor:
        mask = keypoint_mask.unsqueeze(-1)
        points = torch.cat([inputs.masked_fill(~mask, 0.0), mask.to(inputs.dtype)], dim=-1)
        groups = [layer(points[:, :, group].flatten(2)) for layer, group in zip(self.embed, self.groups, strict=True)]
        tokens = torch.stack(groups, dim=2)
        return tokens + self.group_embed + self.time_embed[: inputs.shape[1], None]

    def _check(self, inputs: Tensor, keypoint_mask: Tensor) -> None:
        want = (self.skeleton.num_keypoints, self.in_channels)
        if inputs.ndim != 4 or tuple(inputs.shape[2:]) != want:
            raise ConfigError(
                f"STTransformer for skeleton '{self.skeleton.name}' takes (N, T, {want[0]}, {want[1]}) but got "
                f"{tuple(inputs.shape)}; with skeleton='auto' and in_channels='auto' it takes what the pipeline yields, "
                "and dict(name='karsl_184', select=['rh', 'lh']) names a selection"
            )
        if keypoint_mask.shape != inputs.shape[:3]:
            raise ValueError(f"keypoint_mask {tuple(keypoint_mask.shape)} does not fit inputs {tuple(inputs.shape)}")
        if not 1 <= inputs.shape[1] <= self.max_frames:
            raise ValueError(
                f"STTransformer takes 1 to {self.max_frames} frames but got T={inputs.shape[1]}; "
                "raise max_frames or lower clip_len"
            )
