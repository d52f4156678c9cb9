"""Shards from elsewhere, brought while earlier ones are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from karsl.errors import KarslError


class Bringer:
    """Has shards here when they are needed.

    Args:
        paths: Of the shards, by their number.
        bring: `bring(path)` has one here, whatever that takes; called in any thread.
    """

    def __init__(self, paths: Sequence[str], bring: Callable[[str], None]) -> None:
        self._paths, self._bring = list(paths), bring
        self._forget()

    def _forget(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._coming: dict[int, Future] = {}
        self._lost: dict[int, Exception] = {}

    def ask(self, shards: Iterable[int]) -> None:
        """Have shards on their way, in the background."""
        for shard in shards:
            if shard not in self._coming and shard not in self._lost:
                if self._threads is None:
                    self._threads = ThreadPoolExecutor(2, thread_name_prefix="karsl-shards")
                self._coming[shard] = self._threads.submit(self._bring, self._paths[shard])

    def bring(self, shards: Iterable[int], *, skip: bool) -> dict[int, Exception]:
        """Have shards here now.

        Args:
            shards: By number.
            skip: Give those that cannot be had, with the reason, instead of raising it.
        """
        lost: dict[int, Exception] = {}
        for shard in shards:
            if shard in self._lost:
                lost[shard] = self._lost[shard]
                continue
            coming = self._coming.pop(shard, None)
            try:
                if coming is not None:
                    coming.result()
                self._bring(self._paths[shard])  # again: it may have been let go meanwhile
            except (KarslError, OSError) as error:
                if not skip:
                    raise
                lost[shard] = self._lost[shard] = error
        return lost

    def __getstate__(self) -> dict:
        return {"_paths": self._paths, "_bring": self._bring}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._forget()
