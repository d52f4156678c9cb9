"""A pack on the accelerator: all frames of a corpus where the model is, so that a batch arrives as numbers of frames."""

from __future__ import annotations

import os

import numpy as np
import torch

from karsl.io.pack_reader import WholePack


class ResidentPack:
    """The frames of a pack, copied to a device when they are first asked for there.

    Not a buffer of a module, on purpose: buffers, persistent or not, are broadcast by DistributedDataParallel, doubled by
    a moving average's deep copy of the model, and cast by `.half()`. This one is none of these, and no checkpoint holds it.

    Args:
        path: Of the pack's folder, all of whose shards are kept, or of the frames of its only shard.

    Raises:
        FileNotFoundError: No such file.
        CorruptRecordError: Not a pack.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        pack = WholePack(os.fspath(path))
        self.path, self.digest, self.nbytes = pack.path, pack.digest, pack.nbytes
        self._shards = [shard.path for shard in pack.shards]
        self._held: dict[torch.device, torch.Tensor] = {}

    def on(self, device: torch.device | str) -> torch.Tensor:
        """float16 or float32 (F, V, 4) on a device; on the CPU a pack of one shard is the mapped file itself."""
        device = torch.device(device)
        if device not in self._held:
            # mapped copy-on-write, since torch warns about memory that may not be written to; nothing writes to it
            maps = (np.load(path, mmap_mode="c", allow_pickle=False).view(np.ndarray) for path in self._shards)
            self._held[device] = _joined([torch.from_numpy(frames) for frames in maps], device)
        return self._held[device]

    def __deepcopy__(self, memo: dict) -> ResidentPack:
        return self

    def __reduce__(self) -> tuple:
        return ResidentPack, (self.path,)

    def __repr__(self) -> str:
        return f"ResidentPack({str(self.path)!r})"


def _joined(parts: list[torch.Tensor], device: torch.device) -> torch.Tensor:
    """One tensor on the device; shards are copied to their place in it, so that there is never a second copy."""
    if len(parts) == 1:
        return parts[0].to(device)
    whole = parts[0].new_empty((sum(map(len, parts)), *parts[0].shape[1:]), device=device)
    for rows, part in zip(whole.split([len(part) for part in parts]), parts, strict=True):
        rows.copy_(part)
    return whole
