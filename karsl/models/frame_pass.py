"""The compiled pass of `karsl.datasets.fused`, in torch: from raw frames and a plan to a batch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from karsl.datasets.fused.plan import FramePlan


def run_plan(frames: Tensor, plan: FramePlan, *, channels: int = 3, fill: float = 0.0) -> tuple[Tensor, Tensor]:
    """Read frames, blend, permute, move and hide points.

    Nothing here waits for the device: no sizes or branches depend on its numbers.

    Args:
        frames: float16 or float32 (F, V, 4): x, y, z, score; zeros where missing.
        plan: Its arrays as tensors on the device of `frames`.
        channels: 3, or 4 to have the score last.
        fill: Coordinate of missing points.

    Returns:
        float32 (N, T, V', channels) and bool (N, T, V'), True where a point is there.

    Example:
        >>> import numpy as np
        >>> still = dict(after=None, weight=None, hidden=None, hidden_frames=None, missing_is_zero=False)
        >>> mirrored = FramePlan(
        ...     before=torch.tensor([[1, 0]]), points=torch.tensor([[1, 0]]), row=torch.tensor([0]),
        ...     group=torch.tensor([0, 0]), affine=torch.tensor([[[-1.0, 0, 0, 1, 1, 0, 1]]]), **still)
        >>> frames = torch.tensor([[[0.25, 0, 0, 1], [0, 0, 0, 0]], [[0.5, 0, 0, 1], [0.75, 0, 0, 1]]])
        >>> points, mask = run_plan(frames, mirrored)
        >>> points[..., 0].tolist(), mask.tolist()
        ([[[0.25, 0.5], [0.0, 0.75]]], [[[True, True], [False, True]]])
    """
    origin = plan.points[plan.row]  # (N, V')
    value = _blended(frames, plan, origin.clamp(min=0))
    seen = (value[..., 3] > 0) & (origin >= 0)[:, None]
    if plan.hidden is not None:
        seen = seen & ~plan.hidden[:, None]
    if plan.hidden_frames is not None:
        seen = seen & ~plan.hidden_frames[:, :, None]
    x, y, z, score = value.unbind(-1)
    m = plan.affine[:, plan.group][:, None].unbind(-1)  # 7 of (N, 1, V')
    out = torch.stack([m[0] * x + m[1] * y + m[4], m[2] * x + m[3] * y + m[5], m[6] * z], dim=-1)
    out = torch.where(seen[..., None], out, fill)
    if channels == 4:
        out = torch.cat([out, torch.where(seen, score, 0.0)[..., None]], dim=-1)
    return out, seen


def _blended(frames: Tensor, plan: FramePlan, origin: Tensor) -> Tensor:
    """float32 (N, T, V', 4), still where they were: the mean where both frames have a point, else the one that has it."""
    points = frames.reshape(-1, 4)

    def at(rows: Tensor) -> Tensor:
        places = rows[..., None] * frames.shape[1] + origin[:, None]
        return points.index_select(0, places.reshape(-1)).float().reshape(*places.shape, 4)

    first = at(plan.before)
    if plan.after is None:
        return first
    second, weight = at(plan.after), plan.weight[..., None]
    here = first[..., 3] > 0, second[..., 3] > 0
    if not plan.missing_is_zero:
        weight = torch.where(here[0] & here[1], weight, here[1].float())
    blended = first + (second - first) * weight[..., None]
    return blended if plan.rest is None else torch.where(here[1][..., None], blended, first * plan.rest[..., None, None])
