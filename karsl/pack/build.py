"""Build the shards of a pack: plan them, write their blocks in worker processes, and finish each shard."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import KarslError, PackError
from karsl.io.atomic import sync_file
from karsl.io.pack_reader import shard_filename, sibling_filename
from karsl.io.sources import ClipSource
from karsl.pack.encode import DTYPES, Block, allocate
from karsl.pack.manifest import FileStat, Manifest, Shard
from karsl.pack.transaction import Staging

Read = Callable[[dict], np.ndarray]
BlockResult = tuple[list[int], float]
"""Checksums of the clips of a block, and the largest rounding."""
_BLOCK_BYTES = 4 << 20  # memory of a worker


@dataclass(frozen=True)
class ShardPlan:
    """A shard to write.

    Attributes:
        number: Number in its name.
        first, end: Its clips, `first` to `end - 1`.
        starts: int64 (end - first,), first row of each clip.
        num_frames: Number of rows.
    """

    number: int
    first: int
    end: int
    starts: np.ndarray
    num_frames: int


def plan_shards(
    lengths: Sequence[int] | np.ndarray, *, row_bytes: int, shard_bytes: int, first_number: int = 0
) -> list[ShardPlan]:
    """Assign clips to shards in order; a clip that would exceed `shard_bytes` starts a new shard.

    Args:
        lengths: T of each clip.
        row_bytes: Bytes per frame.
        shard_bytes: Maximum bytes of frames per shard; a longer clip gets its own. 0 puts all clips in one shard.
        first_number: Number of the first shard.

    Example:
        >>> [(s.number, s.first, s.end, s.starts.tolist()) for s in plan_shards([3, 4, 9, 1], row_bytes=2, shard_bytes=16)]
        [(0, 0, 2, [0, 3]), (1, 2, 3, [0]), (2, 3, 4, [0])]
    """
    lengths = np.asarray(lengths, np.int64)
    max_rows = max(1, shard_bytes // row_bytes) if shard_bytes else int(lengths.sum())
    shards: list[ShardPlan] = []
    first = rows = 0
    for number, length in enumerate([*lengths.tolist(), max_rows + 1]):  # the sentinel closes the last shard
        if number > first and rows + length > max_rows:
            members = lengths[first:number]
            shards.append(ShardPlan(first_number + len(shards), first, number, np.cumsum(members) - members, int(rows)))
            first, rows = number, 0
        rows += length
    return shards


def plan_blocks(shard: ShardPlan, *, row_bytes: int, block_bytes: int = _BLOCK_BYTES) -> list[tuple[int, int]]:
    """Split a shard into runs of clips, counted over the whole pack, one per task.

    Example:
        >>> plan_blocks(plan_shards([3, 4, 9, 1], row_bytes=2, shard_bytes=0)[0], row_bytes=2, block_bytes=14)
        [(0, 2), (2, 3), (3, 4)]
    """
    ends = np.append(shard.starts[1:], shard.num_frames)
    blocks, first, start = [], 0, 0
    for number, end in enumerate(ends.tolist()):
        if number > first and (end - start) * row_bytes > block_bytes:
            blocks.append((shard.first + first, shard.first + number))
            first, start = number, int(shard.starts[number])
    return [*blocks, (shard.first + first, shard.end)]


@dataclass
class PackRun:
    """Execution of a plan: yields the blocks to write, and finishes each shard after its last block.

    Attributes:
        source: Source of the clips.
        manifest: Manifest of the pack before, for the dtype.
        staging: Folder of the unfinished shards.
        shards: Shards to write.
        records: Records of the clips, in the order of `shards`.
        progress: Called with the number of clips done and in total.
    """

    source: ClipSource
    manifest: Manifest
    staging: Staging
    shards: list[ShardPlan]
    records: list[dict]
    progress: Callable[[int, int], None]
    checksums: dict[int, np.ndarray] = field(default_factory=dict)
    rounding: dict[int, float] = field(default_factory=dict)
    remaining: dict[int, int] = field(default_factory=dict)
    done: int = 0
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    def blocks(self) -> Iterator[tuple[tuple[int, int, int], Block]]:
        """Yield the blocks of the unfinished shards; the files of a shard are created with its first block."""
        skeleton = self.source.skeleton
        dtype, num_keypoints, num_groups = DTYPES[self.manifest.dtype], skeleton.num_keypoints, len(skeleton.groups)
        row_bytes = num_keypoints * 4 * dtype.itemsize
        for position, shard in enumerate(self.shards):
            if shard_filename(shard.number) in self.staging.done:
                self._count(shard.end - shard.first)
                continue
            frames, presence = self._part_files(shard)
            frames_offset = allocate(frames, (shard.num_frames, num_keypoints, 4), dtype)
            presence_offset = allocate(presence, (shard.num_frames, num_groups), np.dtype(np.uint8))
            runs = plan_blocks(shard, row_bytes=row_bytes)
            self.checksums[position], self.rounding[position] = np.zeros(shard.end - shard.first, np.uint64), 0.0
            self.remaining[position] = len(runs)
            for first, end in runs:
                row = int(shard.starts[first - shard.first])
                block = Block(
                    frames, presence, frames_offset + row * row_bytes, presence_offset + row * num_groups,
                    self.records[first:end], skeleton, self.manifest.dtype,
                )  # fmt: skip
                yield (position, first, end), block

    def add_result(self, key: tuple[int, int, int], result: BlockResult) -> None:
        """Record that a block is written; the last block of a shard finishes the shard."""
        position, first, end = key
        shard = self.shards[position]
        self.checksums[position][first - shard.first : end - shard.first] = result[0]
        self.rounding[position] = max(self.rounding[position], result[1])
        self.remaining[position] -= 1
        self._count(end - first)
        if not self.remaining[position]:
            self._finish(position, shard)

    def _finish(self, position: int, shard: ShardPlan) -> None:
        name = shard_filename(shard.number)
        lengths = np.diff(np.append(shard.starts, shard.num_frames))
        rows = np.stack([shard.starts.astype(np.uint64), lengths.astype(np.uint64), self.checksums.pop(position)], axis=1)
        frames, presence = self._part_files(shard)
        clips = frames.with_name(sibling_filename(frames.name, "clips"))
        with clips.open("wb") as stream:
            np.save(stream, np.asfortranarray(rows))  # readers search the mapped columns
        files = {}
        for kind, part in (("frames", frames), ("presence", presence), ("clips", clips)):
            sync_file(part)
            final = sibling_filename(name, kind)
            files[final] = FileStat.from_path(part)
            os.replace(part, self.staging.folder / final)
        self.staging.commit_shard(Shard(name, len(lengths), shard.num_frames, self.rounding.pop(position), files))

    def _part_files(self, shard: ShardPlan) -> tuple[Path, Path]:
        """Return names that no other run writes to, not even the last workers of a killed one on another machine."""
        frames = self.staging.folder / f"{shard_filename(shard.number)}.{self.token}.part"
        return frames, frames.with_name(sibling_filename(frames.name, "presence"))

    def _count(self, clips: int) -> None:
        self.done += clips
        self.progress(self.done, len(self.records))


def write_blocks(blocks: Iterator[tuple[Any, Block]], read: Read, *, workers: int) -> Iterator[tuple[Any, BlockResult]]:
    """Write blocks in this process or in worker processes.

    Args:
        blocks: Blocks with keys of the caller, consumed as they are needed.
        read: Returns the clip of a record; picklable if there are workers.
        workers: Number of processes; 0 writes in this process.

    Yields:
        The key of a written block and the result of `Block.write`, in any order.

    Raises:
        PackError: If a worker was killed.
        Exception: The error of a block; the other blocks are abandoned.
    """
    if workers == 0:
        for key, block in blocks:
            yield key, block.write(read)
        return
    pool = _Pool(read, workers)
    try:
        yield from pool.run(blocks)
    finally:
        pool.terminate()


class _Pool:
    """Worker processes with one pipe each, which closes when this process ends; a worker ends when its pipe closes."""

    def __init__(self, read: Read, workers: int) -> None:
        context = multiprocessing.get_context("spawn")  # fork would lose the thread of a progress bar
        self._processes: dict[Connection, Any] = {}
        with _interrupts_blocked():
            for _ in range(workers):
                pipe, worker_pipe = context.Pipe()
                process = context.Process(target=_serve, args=(worker_pipe, read), daemon=True)
                process.start()
                worker_pipe.close()
                self._processes[pipe] = process

    def run(self, blocks: Iterator[tuple[Any, Block]]) -> Iterator[tuple[Any, BlockResult]]:
        busy: dict[Connection, Any] = {}
        idle = list(self._processes)
        while True:
            while idle:
                task = next(blocks, None)
                if task is None:
                    break
                pipe = idle.pop()
                busy[pipe] = task[0]
                with self._killed_errors(pipe):
                    pipe.send(task[1])
            if not busy:
                return
            for ready in wait(list(busy)):
                pipe = ready  # type: ignore[assignment]  # only connections are waited for
                with self._killed_errors(pipe):
                    error, result = pipe.recv()
                if error is not None:
                    raise error
                idle.append(pipe)
                yield busy.pop(pipe), result

    @contextmanager
    def _killed_errors(self, pipe: Connection) -> Iterator[None]:
        """Report a worker that no longer answers."""
        try:
            yield
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._processes[pipe].join()
            code = self._processes[pipe].exitcode
            raise PackError(
                f"a worker ended with status {code} (-9: killed, often for memory); run the same command again, with "
                "fewer --workers if it is memory"
            ) from None

    def terminate(self) -> None:
        for pipe, process in self._processes.items():
            pipe.close()
            process.terminate()
        for process in self._processes.values():
            process.join()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block; processes started in it never receive one, not even while they import."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # the first process would start it, which unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, read: Read) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent receives Ctrl-C and terminates this process
    while True:
        try:
            block = pipe.recv()
        except EOFError:
            return
        try:
            answer: tuple[BaseException | None, BlockResult | None] = None, block.write(read)
        except (KarslError, OSError) as error:
            answer = error, None
        except Exception as error:  # may not be picklable
            answer = RuntimeError(f"{type(error).__name__}: {error}"), None
        try:
            pipe.send(answer)
        except (BrokenPipeError, ConnectionResetError):
            return
