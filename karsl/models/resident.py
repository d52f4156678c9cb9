"""A pack on the accelerator: all frames of a corpus where the model is, so that a batch arrives as numbers of frames."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from karsl.errors import ConfigError
from karsl.storage.packed import Pack, frames_name, shards_of


class ResidentPack:
    """The frames of a pack, copied to a device when they are first asked for there.

    Not a buffer of a module, on purpose: buffers, persistent or not, are broadcast by DistributedDataParallel, doubled by
    a moving average's deep copy of the model, and cast by `.half()`. This one is none of these, and no checkpoint holds it.

    Args:
        path: Of the pack's folder, or of its shard's frames.

    Raises:
        FileNotFoundError: No such file.
        CorruptRecordError: Not a pack.
        ConfigError: The pack has several shards.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        given = Path(path)
        pack = Pack(_only_shard(given) if given.is_dir() else given)
        self.path, self.digest, self.nbytes = pack.path, pack.digest, pack.frames.nbytes
        self._held: dict[torch.device, torch.Tensor] = {}

    def on(self, device: torch.device | str) -> torch.Tensor:
        """float16 or float32 (F, V, 4) on a device; on the CPU the mapped file itself."""
        device = torch.device(device)
        if device not in self._held:
            # mapped copy-on-write, since torch warns about memory that may not be written to; nothing writes to it
            frames = torch.from_numpy(np.load(self.path, mmap_mode="c", allow_pickle=False).view(np.ndarray))
            self._held[device] = frames.to(device)
        return self._held[device]

    def __deepcopy__(self, memo: dict) -> ResidentPack:
        return self

    def __reduce__(self) -> tuple:
        return ResidentPack, (self.path,)

    def __repr__(self) -> str:
        return f"ResidentPack({str(self.path)!r})"


def _only_shard(folder: Path) -> Path:
    shards = shards_of(folder)
    if len(shards) > 1:
        raise ConfigError(f"{folder} has {len(shards)} shards, and one is kept on the device; pack with --shard-size 0")
    return shards[0] if shards else folder / frames_name(0)
