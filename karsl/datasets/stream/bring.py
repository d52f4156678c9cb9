"""Shards from elsewhere, brought while earlier ones are read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import NamedTuple

import numpy as np

from karsl.errors import KarslError
from karsl.io import remote_cache as file_cache
from karsl.io.remote_cache import FileCache

_THREADS = 2
_ROUNDS = 3


class Elsewhere(NamedTuple):
    """Files that do not lie here.

    Attributes:
        bring: `bring(path, places)` has some clips of one shard here, whatever that takes; called in any thread.
        cache: Where they come to lie.
    """

    bring: Callable[[str, np.ndarray], None]
    cache: FileCache


class Bringer:
    """Has clips here when they are needed.

    Args:
        paths: Of the shards, by their number.
        files: What brings them.
    """

    def __init__(self, paths: Sequence[str], files: Elsewhere) -> None:
        self._paths, self._files = list(paths), files
        self.forget()

    def forget(self) -> None:
        """Begin anew: what could not be had may be there now."""
        self._pid = os.getpid()
        self._coming: dict[int, list[Future]] = {}
        self._lost: dict[int, Exception] = {}

    def ask(self, shards: np.ndarray, places: np.ndarray) -> None:
        """Have clips on their way, in the background; at most two transfers at a time, the rest is asked for later.

        The threads do not hold up the end of the process: what they brought so far is gone on with at the next start.

        Args:
            shards, places: int64 (N,), of the clips.
        """
        self._be_here()
        for shard, wanted in _by_shard(shards, places):
            under_way = sum(not coming.done() for waiting in self._coming.values() for coming in waiting)
            if shard not in self._lost and under_way < _THREADS:
                coming: Future = Future()
                self._coming.setdefault(shard, []).append(coming)
                Thread(target=self._fetch, args=(coming, self._paths[shard], wanted), daemon=True).start()

    def _fetch(self, coming: Future, path: str, places: np.ndarray) -> None:
        try:
            coming.set_result(self._files.bring(path, places))
        except BaseException as error:  # noqa: BLE001 - whoever waits for it hears of it
            coming.set_exception(error)

    def bring(self, shards: np.ndarray, places: np.ndarray, *, skip: bool) -> dict[int, Exception]:
        """Have clips here now.

        Args:
            shards, places: int64 (N,), of the clips.
            skip: Give the shards that cannot be had, with the reason, instead of raising it.
        """
        self._be_here()
        wanted = list(_by_shard(shards, places))
        with self._files.cache.pin():
            for _ in range(_ROUNDS):
                began = time.monotonic()
                for shard, of_shard in wanted:
                    self._have(shard, of_shard, skip=skip)
                if time.monotonic() - began < file_cache.GRACE_S / 3:
                    break  # else another process may have let go what came first
        return {shard: self._lost[shard] for shard, _ in wanted if shard in self._lost}

    def _have(self, shard: int, places: np.ndarray, *, skip: bool) -> None:
        if shard in self._lost:
            return
        try:
            for coming in self._coming.pop(shard, ()):
                coming.result()
            self._files.bring(self._paths[shard], places)  # again: it may have been let go meanwhile
        except (KarslError, OSError) as error:
            if not skip:
                raise
            self._lost[shard] = error

    def _be_here(self) -> None:
        if os.getpid() != self._pid:  # a fork copies what waits without the threads
            self.forget()

    def __getstate__(self) -> dict:
        return {"_paths": self._paths, "_files": self._files}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self.forget()


def _by_shard(shards: np.ndarray, places: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for shard in np.unique(shards).tolist():
        yield shard, places[shards == shard]
