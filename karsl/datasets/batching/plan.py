"""Deferred operations as a plan of small arrays, its execution in torch, and packs on a device.

The plan and the raw frames are all that another device needs to make the batch there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from karsl.io.pack_reader import WholePack, check_memmap

PREFIX = "plan_"
Array = Any  # NumPy arrays where a plan is made, tensors where it is applied


@dataclass(frozen=True)
class FramePlan:
    """Frames to read and operations on their points, for N clips of T frames; see `apply_plan`.

    Attributes:
        frame0: int64 (N, T), row of the frame at or before each position.
        frame1: int64 (N, T), row of the frame after it; the same row where nothing is interpolated. None if none is.
        weight: float32 (N, T), weight of `frame1`; None with it.
        points: int64 (P, V), stored point of each point, -1 for none.
        row: int64 (N,), row of `points` for each clip.
        affine: float32 (N, G, 7): m00 m01 m10 m11 dx dy, scale of z.
        group: int64 (V,), group of each point.
        hidden: bool (N, V), points to hide; None for none.
        hidden_frames: bool (N, T), frames to hide; None for none.
        missing_is_zero: Interpolate missing points as zeros.
        remaining: float32 (N, T), weight of `frame0` with `missing_is_zero`, since `1 - weight` has too few digits for a
            point that fades into zeros. None otherwise.
    """

    frame0: Array
    frame1: Array
    weight: Array
    points: Array
    row: Array
    affine: Array
    group: Array
    hidden: Array
    hidden_frames: Array
    missing_is_zero: bool
    remaining: Array = None

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that are not None, under their keys in a batch."""
        values = {PREFIX + field.name: getattr(self, field.name) for field in fields(self)}
        return {key: value for key, value in values.items() if isinstance(value, np.ndarray)}

    @classmethod
    def from_batch(cls, batch: Mapping, missing_is_zero: bool) -> FramePlan:
        """Make the plan from a batch with the entries of `arrays()`, as arrays or tensors."""
        values: dict[str, Any] = {field.name: batch.get(PREFIX + field.name) for field in fields(cls)}
        return cls(**values | {"missing_is_zero": missing_is_zero})

    def used_frames(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return int64 (F,) distinct rows that are read, and `arrays()` with indices into them instead of rows."""
        rows = [self.frame0] if self.frame1 is None else [self.frame0, self.frame1]
        used, indices = np.unique(np.stack(rows), return_inverse=True)
        indices, arrays = indices.reshape(len(rows), *self.frame0.shape), self.arrays()
        arrays |= {PREFIX + "frame0": indices[0]}
        return used, arrays if self.frame1 is None else arrays | {PREFIX + "frame1": indices[1]}


def frame_rows(
    positions: np.ndarray, starts: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Return `frame0`, `frame1` and `weight` of float64 (N, T) positions in clips of (N,) first rows and lengths.

    Example:
        >>> frame_rows(np.array([[0.0, 1.5, 2.0]]), np.array([10]), np.array([3]))
        (array([[10, 11, 12]]), array([[10, 12, 12]]), array([[0. , 0.5, 0. ]], dtype=float32))
    """
    floor = positions.astype(np.int64)
    weight = (positions - floor).astype(np.float32)
    frame0 = starts[:, None] + floor
    if not weight.any():
        return frame0, None, None
    last = (starts + lengths - 1)[:, None]
    return frame0, np.where(weight > 0, np.minimum(frame0 + 1, last), frame0), weight


def apply_plan(frames: Tensor, plan: FramePlan, *, channels: int = 3, fill: float = 0.0) -> tuple[Tensor, Tensor]:
    """Read frames, interpolate, permute, transform and hide points, as the compiled pass does.

    No size or branch depends on values on the device, so nothing waits for it.

    Args:
        frames: float16 or float32 (F, V, 4): x, y, z, score; zeros where missing.
        plan: Plan whose arrays are tensors on the device of `frames`.
        channels: 3, or 4 to append the score.
        fill: Coordinate of missing points.

    Returns:
        float32 (N, T, V', channels) and bool (N, T, V'), True where a point is present.

    Example:
        >>> still = dict(frame1=None, weight=None, hidden=None, hidden_frames=None, missing_is_zero=False)
        >>> mirrored = FramePlan(
        ...     frame0=torch.tensor([[1, 0]]), points=torch.tensor([[1, 0]]), row=torch.tensor([0]),
        ...     group=torch.tensor([0, 0]), affine=torch.tensor([[[-1.0, 0, 0, 1, 1, 0, 1]]]), **still)
        >>> frames = torch.tensor([[[0.25, 0, 0, 1], [0, 0, 0, 0]], [[0.5, 0, 0, 1], [0.75, 0, 0, 1]]])
        >>> points, mask = apply_plan(frames, mirrored)
        >>> points[..., 0].tolist(), mask.tolist()
        ([[[0.25, 0.5], [0.0, 0.75]]], [[[True, True], [False, True]]])
    """
    source = plan.points[plan.row]  # (N, V')
    value = _interpolate(frames, plan, source.clamp(min=0))
    present = (value[..., 3] > 0) & (source >= 0)[:, None]
    if plan.hidden is not None:
        present = present & ~plan.hidden[:, None]
    if plan.hidden_frames is not None:
        present = present & ~plan.hidden_frames[:, :, None]
    x, y, z, score = value.unbind(-1)
    m = plan.affine[:, plan.group][:, None].unbind(-1)  # 7 of (N, 1, V')
    out = torch.stack([m[0] * x + m[1] * y + m[4], m[2] * x + m[3] * y + m[5], m[6] * z], dim=-1)
    out = torch.where(present[..., None], out, fill)
    if channels == 4:
        out = torch.cat([out, torch.where(present, score, 0.0)[..., None]], dim=-1)
    return out, present


def _interpolate(frames: Tensor, plan: FramePlan, source: Tensor) -> Tensor:
    """Return float32 (N, T, V', 4): interpolated where both frames have a point, else the one that has it."""
    points = frames.reshape(-1, 4)

    def read(rows: Tensor) -> Tensor:
        indices = rows[..., None] * frames.shape[1] + source[:, None]
        return points.index_select(0, indices.reshape(-1)).float().reshape(*indices.shape, 4)

    first = read(plan.frame0)
    if plan.frame1 is None:
        return first
    second, weight = read(plan.frame1), plan.weight[..., None]
    present0, present1 = first[..., 3] > 0, second[..., 3] > 0
    if not plan.missing_is_zero:
        weight = torch.where(present0 & present1, weight, present1.float())
    mixed = first + (second - first) * weight[..., None]
    if plan.remaining is None:
        return mixed
    return torch.where(present1[..., None], mixed, first * plan.remaining[..., None, None])


class DevicePack:
    """Frames of a pack, copied to a device when they are first requested there.

    Not a buffer of a module on purpose: buffers are broadcast by DistributedDataParallel, copied with a moving average of
    the model, and cast by `.half()`. This one is not, and no checkpoint contains it.

    Args:
        path: Folder of the pack, or the file with the frames of its only shard.

    Raises:
        FileNotFoundError: If there is no such file.
        CorruptRecordError: If the file is not a pack.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        pack = WholePack(os.fspath(path))
        self.path, self.digest, self.nbytes = pack.path, pack.digest, pack.nbytes
        self._shards = [shard.path for shard in pack.shards]
        self._copies: dict[torch.device, tuple[Tensor, list[np.memmap]]] = {}  # and the files that they are

    def to(self, device: torch.device | str) -> Tensor:
        """Return float16 or float32 (F, V, 4) on a device; on the CPU a pack of one shard is the mapped file itself.

        Raises:
            CorruptRecordError: If that file was cut since.
        """
        device = torch.device(device)
        if device not in self._copies:
            # mapped copy-on-write, since torch warns about read-only memory; nothing writes to it
            maps = [np.load(path, mmap_mode="c", allow_pickle=False) for path in self._shards]
            frames = _concatenate([torch.from_numpy(mapped.view(np.ndarray)) for mapped in maps], device)
            self._copies[device] = frames, maps if device.type == "cpu" and len(maps) == 1 else []
        frames, maps = self._copies[device]
        for mapped in maps:
            check_memmap(mapped)
        return frames

    def __deepcopy__(self, memo: dict) -> DevicePack:
        return self

    def __reduce__(self) -> tuple:
        return DevicePack, (self.path,)

    def __repr__(self) -> str:
        return f"DevicePack({str(self.path)!r})"


def _concatenate(shards: list[Tensor], device: torch.device) -> Tensor:
    """Copy shards into one tensor on the device, without a second copy."""
    if len(shards) == 1:
        return shards[0].to(device)
    out = shards[0].new_empty((sum(map(len, shards)), *shards[0].shape[1:]), device=device)
    for rows, shard in zip(out.split([len(shard) for shard in shards]), shards, strict=True):
        rows.copy_(shard)
    return out
