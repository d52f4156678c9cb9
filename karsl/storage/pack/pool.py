"""Worker processes that read and write blocks; they end when the process that started them does."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

import numpy as np

from karsl.errors import KarslError, PackError

if TYPE_CHECKING:
    from karsl.storage.pack.shard import Block

Read = Callable[[dict], np.ndarray]
Answer = tuple[list[int], float]


def write_blocks(blocks: Iterator[tuple[Any, Block]], read: Read, *, workers: int) -> Iterator[tuple[Any, Answer]]:
    """Write blocks, here or in worker processes.

    Args:
        blocks: Each with a name of the caller's; taken as they are needed.
        read: Gives the clip of a record; picklable if there are workers.
        workers: Processes; 0 writes here.

    Yields:
        The name of a block that is written, and what `Block.write` gave; in any order.

    Raises:
        PackError: A worker was killed.
        Exception: What a block raised; the others are given up.
    """
    if workers == 0:
        for name, block in blocks:
            yield name, block.write(read)
        return
    pool = _Pool(read, workers)
    try:
        yield from pool.run(blocks)
    finally:
        pool.end()


class _Pool:
    """Each worker has a pipe of its own, whose other end no other process holds: it closes with this process."""

    def __init__(self, read: Read, workers: int) -> None:
        context = multiprocessing.get_context("spawn")  # a progress bar has a thread, which a fork would lose
        self._pipes: dict[Connection, Any] = {}
        with _without_interrupts():
            for _ in range(workers):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, read), daemon=True)
                process.start()
                theirs.close()
                self._pipes[ours] = process

    def run(self, blocks: Iterator[tuple[Any, Block]]) -> Iterator[tuple[Any, Answer]]:
        busy: dict[Connection, Any] = {}
        idle = list(self._pipes)
        while True:
            while idle:
                task = next(blocks, None)
                if task is None:
                    break
                pipe = idle.pop()
                busy[pipe] = task[0]
                self._send(pipe, task[1])
            if not busy:
                return
            for ready in wait(list(busy)):
                pipe = ready  # type: ignore[assignment]  # only connections are waited for
                answer = self._receive(pipe)
                idle.append(pipe)
                yield busy.pop(pipe), answer

    def _send(self, pipe: Connection, block: Block) -> None:
        try:
            pipe.send(block)
        except (BrokenPipeError, ConnectionResetError):
            raise self._killed(pipe) from None

    def _receive(self, pipe: Connection) -> Answer:
        try:
            error, answer = pipe.recv()
        except (EOFError, ConnectionResetError):
            raise self._killed(pipe) from None
        if error is not None:
            raise error
        return answer

    def _killed(self, pipe: Connection) -> PackError:
        self._pipes[pipe].join()
        code = self._pipes[pipe].exitcode
        return PackError(
            f"a worker ended with status {code} (-9: killed, often for memory); give the same command again, with fewer "
            "--workers if it is memory"
        )

    def end(self) -> None:
        for pipe, process in self._pipes.items():
            pipe.close()
            process.terminate()
        for process in self._pipes.values():
            process.join()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C waits for the end of the block; processes that are started in it never see one, not even while they import."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # its start, which the first process would bring, unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, read: Read) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which ends this
    while True:
        try:
            block = pipe.recv()
        except EOFError:
            return
        try:
            answer: tuple[BaseException | None, Answer | None] = None, block.write(read)
        except (KarslError, OSError) as error:
            answer = error, None
        except Exception as error:  # one that may not pickle
            answer = RuntimeError(f"{type(error).__name__}: {error}"), None
        try:
            pipe.send(answer)
        except (BrokenPipeError, ConnectionResetError):
            return
