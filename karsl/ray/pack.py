"""Write packs on a cluster: blocks are Ray tasks, everything else is `pack_clips`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from karsl.errors import ConfigError
from karsl.io.sources import ClipSource
from karsl.pack.build import BlockResult, Read
from karsl.pack.encode import Block
from karsl.pack.write import PackResult, pack_clips
from karsl.ray.session import connect, require_ray, wait_any


def pack_on_ray(
    source: ClipSource,
    out: str | Path,
    *,
    address: str | None = None,
    num_tasks: int = 8,
    num_cpus: float = 1.0,
    **options: Any,
) -> PackResult:
    """Write the clips of a source to a pack, with tasks on all nodes of a cluster.

    The files are bitwise equal to those of `pack_clips`. A task whose worker or node dies is run again; if the driver dies,
    the same call resumes.

    Args:
        source: See `karsl.formats.open_clips`. Its files and `out` need the same path on all nodes.
        out: Folder of the pack.
        address: Address of a Ray cluster; see `karsl.ray.connect`.
        num_tasks: Number of blocks that are written at a time; each needs memory for its clips.
        num_cpus: CPUs that Ray reserves per task.
        options: Arguments of `pack_clips`.

    Raises:
        MissingExtraError: If Ray is not installed.
        ConfigError: If `num_tasks` is less than 1 or no cluster responds.
        PackError: See `pack_clips`.
        KarslError: See `pack_clips`.

    Example:
        >>> from karsl.ray import pack_on_ray
        >>> pack_on_ray(open_clips("data/karsl"), "packs/karsl", address="head:6379")  # doctest: +SKIP
    """
    if num_tasks < 1:
        raise ConfigError(f"pack_on_ray: num_tasks={num_tasks!r}; expected at least 1")
    connect(address)
    return pack_clips(source, out, pool=RayBlocks(num_tasks, num_cpus=num_cpus), **options)


class RayBlocks:
    """Writes the blocks of a pack in Ray tasks.

    Args:
        num_tasks: Number of tasks at a time.
        num_cpus: CPUs that Ray reserves per task.
    """

    def __init__(self, num_tasks: int, *, num_cpus: float) -> None:
        self.num_tasks, self.num_cpus = num_tasks, num_cpus

    def __call__(self, blocks: Iterator[tuple[Any, Block]], read: Read) -> Iterator[tuple[Any, BlockResult]]:
        """Yield the name and the result of `Block.write` of each block, in the order in which they finish.

        Raises:
            Exception: Any error of a block; the other tasks are cancelled.
        """
        ray = require_ray()
        task = ray.remote(num_cpus=self.num_cpus, max_retries=-1)(_write)
        reader = ray.put(read)
        names: dict[Any, Any] = {}  # by reference of a running task
        try:
            while True:
                while len(names) < self.num_tasks and (named_block := next(blocks, None)) is not None:
                    name, block = named_block
                    names[task.remote(block, reader)] = name
                if not names:
                    return
                done = wait_any(list(names), num_cpus=self.num_cpus)
                name = names.pop(done)
                try:
                    yield name, ray.get(done)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
        finally:
            for reference in names:
                ray.cancel(reference, force=True)


def _write(block: Block, read: Read) -> BlockResult:
    return block.write(read)
