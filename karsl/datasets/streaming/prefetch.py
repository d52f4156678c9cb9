"""Background download of remote shards while earlier ones are read."""

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

_MAX_TRANSFERS = 2
_MAX_ROUNDS = 3


class RemoteShards(NamedTuple):
    """Access to shards that are not local.

    Attributes:
        fetch: `fetch(path, indices)` makes clips of one shard available locally. Must be thread-safe.
        cache: Cache that holds the local files.
    """

    fetch: Callable[[str, np.ndarray], None]
    cache: FileCache


class ShardPrefetcher:
    """Downloads clips before they are needed.

    Args:
        paths: Local path of each shard, by shard number.
        remote: Downloads them.
    """

    def __init__(self, paths: Sequence[str], remote: RemoteShards) -> None:
        self._paths, self._remote = list(paths), remote
        self.reset()

    def reset(self) -> None:
        """Forget transfers and failures, so that failed shards are tried again."""
        self._pid = os.getpid()
        self._transfers: dict[int, list[Future]] = {}
        self._errors: dict[int, Exception] = {}

    def prefetch(self, shards: np.ndarray, indices: np.ndarray) -> None:
        """Start downloading clips in the background. At most two transfers run; further shards are left to later calls.

        The threads do not delay the exit of the process: a partial download is resumed at the next start.

        Args:
            shards, indices: int64 (N,), shard and index of each clip.
        """
        self._check_fork()
        for shard, of_shard in _by_shard(shards, indices):
            running = sum(not transfer.done() for transfers in self._transfers.values() for transfer in transfers)
            if shard not in self._errors and running < _MAX_TRANSFERS:
                transfer: Future = Future()
                self._transfers.setdefault(shard, []).append(transfer)
                Thread(target=self._transfer, args=(transfer, self._paths[shard], of_shard), daemon=True).start()

    def _transfer(self, transfer: Future, path: str, indices: np.ndarray) -> None:
        try:
            transfer.set_result(self._remote.fetch(path, indices))
        except BaseException as error:  # noqa: BLE001 - raised again where the result is used
            transfer.set_exception(error)

    def fetch(self, shards: np.ndarray, indices: np.ndarray, *, skip: bool) -> dict[int, Exception]:
        """Make clips available locally before returning.

        Args:
            shards, indices: int64 (N,), shard and index of each clip.
            skip: Return failed shards with their errors instead of raising the first error.

        Returns:
            Error of each shard that cannot be downloaded.
        """
        self._check_fork()
        requested = list(_by_shard(shards, indices))
        with self._remote.cache.pin():
            for _ in range(_MAX_ROUNDS):
                start = time.monotonic()
                for shard, of_shard in requested:
                    self._fetch_shard(shard, of_shard, skip=skip)
                if time.monotonic() - start < file_cache.GRACE_S / 3:
                    break  # after a longer time another process may have evicted the first ones
        return {shard: self._errors[shard] for shard, _ in requested if shard in self._errors}

    def _fetch_shard(self, shard: int, indices: np.ndarray, *, skip: bool) -> None:
        if shard in self._errors:
            return
        try:
            for transfer in self._transfers.pop(shard, ()):
                transfer.result()
            self._remote.fetch(self._paths[shard], indices)  # it may have been evicted since
        except (KarslError, OSError) as error:
            if not skip:
                raise
            self._errors[shard] = error

    def _check_fork(self) -> None:
        if os.getpid() != self._pid:  # a fork copies transfers without their threads
            self.reset()

    def __getstate__(self) -> dict:
        return {"_paths": self._paths, "_remote": self._remote}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self.reset()


def _by_shard(shards: np.ndarray, indices: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for shard in np.unique(shards).tolist():
        yield shard, indices[shards == shard]
