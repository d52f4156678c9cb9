"""Carry a plan out: shards that are missing are made, block by block, and noted when they are on the disk."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from karsl.io.sources import ClipSource
from karsl.storage.pack.manifest import FileFacts, Manifest, Shard
from karsl.storage.pack.plan import ShardPlan, plan_blocks
from karsl.storage.pack.shard import KINDS, Block, reserve
from karsl.storage.pack.staging import Staging
from karsl.storage.packed import beside, frames_name

_FLAGS = np.dtype(np.uint8)


@dataclass
class PackRun:
    """One plan being carried out: gives blocks to write, and finishes a shard when its last block is written.

    Attributes:
        source: Of the clips.
        manifest: Of the pack as it was, which says the kind of numbers.
        staging: Where shards are made.
        shards: To be written.
        records: Of the clips, in order.
        tell: Called with clips done and clips in all.
    """

    source: ClipSource
    manifest: Manifest
    staging: Staging
    shards: list[ShardPlan]
    records: list[dict]
    tell: Callable[[int, int], None]
    checksums: dict[int, np.ndarray] = field(default_factory=dict)
    rounding: dict[int, float] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)
    done: int = 0
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    def blocks(self) -> Iterator[tuple[tuple[int, int, int], Block]]:
        """Every block of every shard that is not finished; its files are made when its first block is asked for."""
        kind, points, groups = self._kind()
        row_bytes = points * 4 * kind.itemsize
        for place, shard in enumerate(self.shards):
            if frames_name(shard.number) in self.staging.done:
                self._count(shard.end - shard.first)
                continue
            frames, presence = self._parts(shard)
            at = reserve(frames, (shard.num_frames, points, 4), kind), reserve(presence, (shard.num_frames, groups), _FLAGS)
            runs = plan_blocks(shard, row_bytes=row_bytes)
            self.checksums[place], self.rounding[place] = np.zeros(shard.end - shard.first, np.uint64), 0.0
            self.left[place] = len(runs)
            for first, end in runs:
                row = int(shard.starts[first - shard.first])
                block = Block(
                    frames, presence, at[0] + row * row_bytes, at[1] + row * groups, self.records[first:end],
                    self.source.skeleton, self.manifest.dtype,
                )  # fmt: skip
                yield (place, first, end), block

    def note(self, name: tuple[int, int, int], answer: tuple[list[int], float]) -> None:
        """A block is written; if it was the last of its shard, the shard is finished."""
        place, first, end = name
        shard = self.shards[place]
        self.checksums[place][first - shard.first : end - shard.first] = answer[0]
        self.rounding[place] = max(self.rounding[place], answer[1])
        self.left[place] -= 1
        self._count(end - first)
        if not self.left[place]:
            self._finish(place, shard)

    def _finish(self, place: int, shard: ShardPlan) -> None:
        name = frames_name(shard.number)
        lengths = np.diff(np.append(shard.starts, shard.num_frames))
        rows = np.stack([shard.starts.astype(np.uint64), lengths.astype(np.uint64), self.checksums.pop(place)], axis=1)
        frames, presence = self._parts(shard)
        clips = frames.with_name(beside(frames.name, "clips"))
        with clips.open("wb") as stream:
            np.save(stream, np.asfortranarray(rows))  # columns are mapped, and searched as they lie
        files = {}
        for part, final in ((frames, name), (presence, beside(name, "presence")), (clips, beside(name, "clips"))):
            with part.open("rb+") as stream:
                os.fsync(stream.fileno())
            files[final] = FileFacts.of(part)
            os.replace(part, self.staging.folder / final)
        self.staging.keep(Shard(name, len(lengths), shard.num_frames, self.rounding.pop(place), files))

    def _parts(self, shard: ShardPlan) -> tuple[Path, Path]:
        """Names that no other run writes to, also not the last workers of one that was killed, wherever they are."""
        frames = self.staging.folder / f"{frames_name(shard.number)}.{self.token}.part"
        return frames, frames.with_name(beside(frames.name, "presence"))

    def _kind(self) -> tuple[np.dtype, int, int]:
        skeleton = self.source.skeleton
        return KINDS[self.manifest.dtype], skeleton.num_keypoints, len(skeleton.groups)

    def _count(self, clips: int) -> None:
        self.done += clips
        self.tell(self.done, len(self.records))
