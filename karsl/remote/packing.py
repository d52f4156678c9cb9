"""Packs written by a cluster: blocks are Ray tasks, the rest is `pack_clips`, resume included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from karsl.errors import ConfigError
from karsl.io.sources import ClipSource
from karsl.remote.session import connect, need_ray
from karsl.remote.waiting import first_of
from karsl.storage.pack.pool import Answer, Read
from karsl.storage.pack.shard import Block
from karsl.storage.pack.writer import Packed, pack_clips


def pack_on_ray(
    source: ClipSource,
    out: str | Path,
    *,
    address: str | None = None,
    num_tasks: int = 8,
    num_cpus: float = 1.0,
    **options: Any,
) -> Packed:
    """Write the clips of a source to a pack, by tasks on all nodes of a cluster.

    The bytes are those that `pack_clips` writes here. A task whose worker or node dies is run again; when the driver
    dies, the same call goes on with what is finished.

    Args:
        source: See `karsl.formats.open_clips`; its files, and `out`, lie on a path that every node has.
        out: Folder of the pack.
        address: Of a Ray cluster; see `karsl.remote.connect`.
        num_tasks: Blocks being written at once: each takes the memory of its clips.
        num_cpus: That Ray reserves for each.
        options: Of `pack_clips`.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: `num_tasks` below 1, or no cluster answers.
        PackError, KarslError: As `pack_clips`.

    Example:
        >>> from karsl.remote.packing import pack_on_ray
        >>> pack_on_ray(open_source("data/karsl"), "packs/karsl", address="head:6379")  # doctest: +SKIP
    """
    if num_tasks < 1:
        raise ConfigError(f"pack_on_ray: num_tasks={num_tasks!r}; expected at least 1")
    connect(address)
    return pack_clips(source, out, pool=RayBlocks(num_tasks, num_cpus=num_cpus), **options)


class RayBlocks:
    """Writes blocks in Ray tasks, a few at a time.

    Args:
        num_tasks: Blocks in flight.
        num_cpus: Of each task.
    """

    def __init__(self, num_tasks: int, *, num_cpus: float) -> None:
        self.num_tasks, self.num_cpus = num_tasks, num_cpus

    def __call__(self, blocks: Iterator[tuple[Any, Block]], read: Read) -> Iterator[tuple[Any, Answer]]:
        """The names of blocks as they are finished, in any order, and what `Block.write` gave.

        Raises:
            Exception: What a block raised; the others are given up.
        """
        ray = need_ray()
        task = ray.remote(num_cpus=self.num_cpus, max_retries=-1)(_write)
        reader = ray.put(read)
        flying: dict[Any, Any] = {}
        try:
            while True:
                while len(flying) < self.num_tasks and (waiting := next(blocks, None)) is not None:
                    flying[task.remote(waiting[1], reader)] = waiting[0]
                if not flying:
                    return
                done = first_of(list(flying), num_cpus=self.num_cpus)
                name = flying.pop(done)
                try:
                    yield name, ray.get(done)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
        finally:
            for reference in flying:
                ray.cancel(reference, force=True)


def _write(block: Block, read: Read) -> Answer:
    return block.write(read)
