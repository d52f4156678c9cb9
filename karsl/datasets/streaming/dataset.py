"""Streams of clips in the order of their shards, partitioned over ranks and workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info
from xxhash import xxh3_64_intdigest

from karsl.checks import check_int
from karsl.datasets.keypoint_dataset import KeypointDataset
from karsl.datasets.order.permutation import EpochPermutation
from karsl.datasets.order.resumable import OrderIterator, ResumableOrder
from karsl.datasets.streaming.arrays import ArrayShards
from karsl.datasets.streaming.prefetch import ShardPrefetcher
from karsl.datasets.streaming.rows import LoadRow
from karsl.datasets.streaming.sources import open_stream_source
from karsl.datasets.transforms.loading import LoadKeypoints
from karsl.errors import ConfigError, KarslError, pluralize
from karsl.io.remote_cache import DEFAULT_BYTES
from karsl.registry import DATASETS
from karsl.skeletons import Skeleton

_BLOCK_SIZE = 64
_MAX_MAPPED_SHARDS = 32
_MAX_SUBSTITUTES = 4  # shards to try before all are considered unavailable

MakeSamples = Callable[[np.ndarray], Sequence[Any]]
"""Returns the samples of N indices, int64 (N,)."""


class SampleBlock:
    """Consecutive samples of a stream, which are made together.

    Args:
        make: Makes the samples.
        indices: int64 (N,), indices of the clips.
        batch_size: Batch size that the loader must have, so that a batch is exactly one block. None allows any.
    """

    __slots__ = ("_samples", "batch_size", "indices", "make")

    def __init__(self, make: MakeSamples, indices: np.ndarray, *, batch_size: int | None) -> None:
        self.make, self.indices, self.batch_size = make, indices, batch_size
        self._samples: Sequence[Any] | None = None

    def sample(self, row: int) -> dict:
        """Return one sample; the first call makes all samples of the block."""
        if self._samples is None:
            try:
                samples = self.make(self.indices)
                self._samples = [samples[n] for n in range(len(samples))]
            except (KarslError, OSError):  # of any clip of the block; this clip raises its own
                return self.make(self.indices[row : row + 1])[0]
        return self._samples[row]


class StreamSample(dict):
    """A dict that is filled when it is first accessed.

    `keypoint_collate` does not access it: it takes the batch from `gathered`.
    """

    __slots__ = ("_block", "_row")
    _block: SampleBlock | None
    _row: int

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Return a plain dict to collate functions that build a batch as `type(sample)(...)`."""
        return dict.__new__(cls) if len(args) == 2 and isinstance(args[0], SampleBlock) else dict(*args, **kwargs)

    def __init__(self, block: SampleBlock, row: int) -> None:
        self._block, self._row = block, row

    @staticmethod
    def gathered(samples: Sequence[StreamSample]) -> Sequence[Any]:
        """Return the samples of a batch, to be made in one pass.

        Raises:
            ConfigError: If the loader's batch size is not that of the stream.
        """
        runs: list[tuple[SampleBlock, list[int]]] = []
        for sample in samples:
            block = sample._block
            if block is None:  # it was accessed before
                return [dict(s) for s in samples]
            if not runs or runs[-1][0] is not block:
                runs.append((block, []))
            runs[-1][1].append(sample._row)
        first = runs[0][0]
        if first.batch_size is not None and (len(runs) > 1 or len(samples) != len(first.indices)):
            raise ConfigError(
                f"batches of {pluralize(len(samples), 'clip')} from a stream with "
                f"batch_size={first.batch_size}; pass the batch size of "
                "the loader to StreamDataset, so that batches do not depend on the number of workers"
            )
        indices = [block.indices[rows] for block, rows in runs]
        return first.make(np.concatenate(indices) if len(indices) > 1 else indices[0])

    def _fill(self) -> StreamSample:
        if self._block is not None:
            sample = self._block.sample(self._row)
            self._block = None
            dict.update(self, sample)
        return self

    def __reduce_ex__(self, protocol: Any) -> tuple:
        return dict, (dict(self),)

    def __iter__(self) -> Iterator:
        return dict.__iter__(self._fill())


def _filling(name: str) -> Callable:
    plain = getattr(dict, name)

    def method(self: StreamSample, *args: Any, **kwargs: Any) -> Any:
        return plain(self._fill(), *args, **kwargs)

    method.__name__, method.__doc__ = name, plain.__doc__
    return method


for _name in (
    *("__getitem__", "__setitem__", "__delitem__", "__contains__", "__len__", "__repr__", "__eq__", "__ne__", "__or__"),
    *("__ror__", "__ior__", "__reversed__", "keys", "values", "items", "get", "pop", "popitem", "setdefault", "update"),
    *("copy", "clear"),
):
    setattr(StreamSample, _name, _filling(_name))


class StreamIterator(OrderIterator):
    """One pass of a worker through a stream; yields a `StreamSample` per clip.

    Args:
        resumable, batch_size, num_workers, worker: See `OrderIterator`.
        make: Makes the samples.
        prefetch: Starts the download of clips. None for local data.
        lookahead: Number of clips between the prefetched clip and the current one. None prefetches the next batch.
    """

    def __init__(
        self,
        resumable: ResumableOrder,
        *,
        batch_size: int | None,
        num_workers: int,
        worker: int,
        make: MakeSamples,
        prefetch: Callable[[np.ndarray], None] | None = None,
        lookahead: int | None = None,
    ) -> None:
        self._make, self._prefetch, self._lookahead = make, prefetch, lookahead
        self._required_batch_size = batch_size if num_workers > 1 else None
        super().__init__(resumable, batch_size=batch_size, num_workers=num_workers, worker=worker)

    def _load_span(self, first: int, stop: int) -> Sequence[StreamSample]:
        indices = self._indices(first, stop)
        if self._prefetch is not None:
            if self._lookahead is None:
                size = self._batch_size
                begin = first - first % size + self._num_workers * size
            else:
                size, begin = 1, first + self._lookahead
            upcoming = self._indices(begin, begin + size)
            if len(upcoming):
                self._prefetch(upcoming)
        block = SampleBlock(self._make, indices, batch_size=self._required_batch_size)
        return [StreamSample(block, row) for row in range(len(indices))]


@DATASETS.register_module()
class StreamDataset(ResumableOrder, IterableDataset):
    """An iterable over the clips of shards, each exactly once per epoch over all ranks and workers.

    Shards are read in random order and clips are shuffled within a window of consecutive ones. The order is a function of
    (seed, epoch), and batches do not depend on the number of workers. The position within an epoch is one integer, see
    `ResumableOrder`. The length is known. Remote shards are downloaded to a cache while earlier ones are read.

    In MMEngine configs the loader has `sampler=None`. With two or more workers the stream needs the batch size of its
    loader: `build_runner` sets it; otherwise pass `batch_size`.

    Args:
        source: Folder or URL of a pack (`karsl pack`), tars as in `TarDataset`, array files that other programs wrote, or
            any dataset with random access or its config.
        pipeline: Transforms. None keeps those of the source. A dataset that is passed as an object is not changed: the
            stream reads a copy with the same index.
        seed: Random seed of order and transforms. None uses that of `set_epoch`.
        shuffle: False keeps the order of the source.
        window: Number of clips that are shuffled together. A window of several shards mixes shards, too.
        block_size: Number of consecutive clips that stay in one window. None uses 64 for local data, where a part of a shard
            is as fast to read as a shard, and complete shards for remote data.
        remainder: Treatment of clips that do not divide evenly over the ranks: `'pad'` repeats a few clips, `'drop'` leaves
            a few out, `'uneven'` gives each clip exactly once.
        batch_size: Batch size of the loader.
        on_error: `'raise'`, or `'skip'` to replace clips that cannot be read by others; they are logged and counted in
            `num_skipped`.
        cache_dir: Folder for downloads. None uses the user's cache folder.
        cache_bytes: Maximum cache size in bytes. Least recently used files are deleted first.
        options: Arguments of the dataset that is built from a path or config: `skeleton`, `metainfo`, `filter_cfg`,
            `test_mode`, `index_cache`, ...; for array files also `layout` (`'raw'` for `ArrayDataset`), `pattern` and
            `labels`.

    Raises:
        ConfigError: If a number is out of range, or `source` cannot be read or does not accept the options.
        FetchError: If the list of clips of a remote source cannot be downloaded.
    """

    def __init__(
        self,
        source: str | Path | Sequence[str | Path] | Mapping | KeypointDataset,
        pipeline: Sequence[dict | Callable] | None = None,
        *,
        seed: int | None = None,
        shuffle: bool = True,
        window: int = 8192,
        block_size: int | None = None,
        remainder: str = "pad",
        batch_size: int | None = None,
        on_error: str = "raise",
        cache_dir: str | None = None,
        cache_bytes: int = DEFAULT_BYTES,
        **options: Any,
    ) -> None:
        if on_error not in ("raise", "skip"):
            raise ConfigError(f"StreamDataset: on_error={on_error!r}; expected 'raise' or 'skip'")
        check_int("StreamDataset", low=1, window=window, block_size=1 if block_size is None else block_size)
        options |= ({} if seed is None else {"seed": seed}) | ({} if on_error == "raise" else {"on_error": on_error})
        self.dataset, remote = open_stream_source(
            source, pipeline, cache_dir=cache_dir, cache_bytes=cache_bytes, options=options
        )
        if remote and not self.dataset.serialize_data:
            raise ConfigError("StreamDataset: remote shards are found by the index; leave out serialize_data=False")
        self.shuffle, self.window, self.on_error = shuffle, window, on_error
        sizes, paths = _shards(self.dataset)
        self._sizes = sizes if remote and block_size is None else _split_sizes(sizes, block_size or _BLOCK_SIZE)
        self._prefetcher = ShardPrefetcher(paths, remote) if remote else None
        self._available: np.ndarray | None = None  # indices of the last batch
        self._mapped: set[int] = set()  # shards that may be memory-mapped
        super().__init__(seed=seed, remainder=remainder)
        self.batch_size = batch_size

    @property
    def total(self) -> int:
        return len(self.dataset)

    def options(self) -> tuple:
        sizes = xxh3_64_intdigest(self._sizes.astype(np.int64).tobytes()) if self.shuffle else 0
        return self.shuffle, min(self.window, self.total), sizes

    def order(self, seed: int, epoch: int) -> EpochPermutation:
        return EpochPermutation(self._sizes, seed=seed, epoch=epoch, shuffle=self.shuffle, window=self.window)

    def __repr__(self) -> str:
        return f"StreamDataset(window={self.window}, epoch={self.epoch}) of {self.dataset!r}"

    def __iter__(self) -> Iterator[dict]:
        self._update_rank()
        worker = get_worker_info()
        number, count = (worker.id, worker.num_workers) if worker else (0, 1)
        if number == 0:
            self._check_files()
        if count > 1 and self.batch_size is None:
            raise ConfigError(
                f"StreamDataset: no batch size for {pluralize(count, 'worker')}; pass that of the loader as batch_size="
            )
        prefetching: dict[str, Any] = {}
        if self._prefetcher is not None:
            self._prefetcher.reset()
            shard_lookahead = max(1, self.window // self.partition().world_size)
            by_clip = getattr(self.dataset, "fetches_ranges", False)
            prefetching = {"prefetch": self._prefetch, "lookahead": None if by_clip else shard_lookahead}
        return StreamIterator(
            self, batch_size=self.batch_size, num_workers=count, worker=number, make=self.batch, **prefetching
        )

    def set_epoch(self, epoch: int, seed: int | None = None) -> None:
        """Set the epoch of order and transforms, see `ResumableOrder.set_epoch`.

        Raises:
            CorruptRecordError: If an array file was removed or replaced since the stream was made; new ones are logged.
        """
        super().set_epoch(epoch, seed)
        self._check_files()

    def _check_files(self) -> None:
        if isinstance(self.dataset, ArrayShards):
            self.dataset.check_files()

    def _start_epoch(self, epoch: int) -> None:
        super()._start_epoch(epoch)
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(self.epoch, seed=self.seed)

    @property
    def metainfo(self) -> dict:
        """Metainfo of the source."""
        return self.dataset.metainfo

    @property
    def skeleton(self) -> Skeleton | None:
        """Skeleton of the stored clips."""
        return self.dataset.skeleton

    @property
    def output_skeleton(self) -> Skeleton | None:
        """Skeleton after the pipeline."""
        return self.dataset.output_skeleton

    @property
    def output_channels(self) -> int:
        """Number of channels C after the pipeline."""
        return self.dataset.output_channels

    @property
    def num_skipped(self) -> int:
        """Number of clips replaced by others so far, over all workers."""
        return self.dataset.num_skipped

    @property
    def is_remote(self) -> bool:
        """True if shards are downloaded."""
        return self._prefetcher is not None

    def full_init(self) -> None:
        """Do nothing; for compatibility with `BaseDataset`."""

    # ---- batches ----

    def batch(self, indices: np.ndarray) -> Sequence[Any]:
        """Return samples, which `keypoint_collate` makes in one pass.

        Args:
            indices: int64 (N,), indices of the clips.

        Raises:
            FetchError: If a shard cannot be downloaded, unless `on_error='skip'` and others can.
        """
        if self._prefetcher is not None:
            indices = self._fetch(indices, self._prefetcher)
        getitems = getattr(self.dataset, "__getitems__", None)
        return [self.dataset[index] for index in indices.tolist()] if getitems is None else getitems(indices)

    def _prefetch(self, indices: np.ndarray) -> None:
        if self._prefetcher is not None:
            self._prefetcher.prefetch(self.dataset.column("pack")[indices], indices)

    def _fetch(self, indices: np.ndarray, prefetcher: ShardPrefetcher) -> np.ndarray:
        """Download the shards of clips; with `on_error='skip'`, replace clips whose shards are unavailable."""
        shards = self.dataset.column("pack")[indices]
        self._unmap_shards(shards)
        errors = prefetcher.fetch(shards, indices, skip=self.on_error == "skip")
        if errors:
            available = ~np.isin(shards, list(errors))
            substitutes = indices[available] if available.any() else self._find_substitutes(len(indices), errors, prefetcher)
            skipped = np.flatnonzero(~available)
            for index, shard in zip(indices[skipped].tolist(), shards[skipped].tolist(), strict=True):
                self.dataset.skips.add(index, str(errors[shard]))
            indices = indices.copy()
            indices[skipped] = substitutes[np.arange(len(skipped)) % len(substitutes)]
        self._available = indices
        return indices

    def _unmap_shards(self, shards: np.ndarray) -> None:
        """Unmap all shards if too many are mapped: an evicted file occupies the disk as long as it is mapped."""
        self._mapped.update(shards.tolist())
        if len(self._mapped) > _MAX_MAPPED_SHARDS:
            self._mapped = set(shards.tolist())
            for step in getattr(self.dataset.pipeline, "transforms", ()):
                if isinstance(step, (LoadKeypoints, LoadRow)):
                    step.close()

    def _find_substitutes(self, count: int, errors: dict[int, Exception], prefetcher: ShardPrefetcher) -> np.ndarray:
        """Return clips that can be read: those of the last batch or of a few other shards in random order."""
        shards = self.dataset.column("pack")
        others = np.random.default_rng([self.seed, self.epoch]).permutation(np.setdiff1d(shards, list(errors)))
        candidates = (np.flatnonzero(shards == shard)[:count] for shard in others[:_MAX_SUBSTITUTES])
        for indices in candidates if self._available is None else chain([self._available], candidates):
            if not prefetcher.fetch(shards[indices], indices, skip=True):
                return indices
        raise next(iter(errors.values()))

    def __getstate__(self) -> dict:
        return {**super().__getstate__(), "_available": None, "_mapped": set()}


def _split_sizes(sizes: np.ndarray, max_size: int) -> np.ndarray:
    """Split shard sizes into blocks of at most `max_size`.

    Example:
        >>> _split_sizes(np.array([3, 5]), 2)
        array([2, 1, 2, 2, 1])
    """
    counts = np.maximum(1, -(-sizes // max_size))
    blocks = np.full(counts.sum(), max_size)
    blocks[np.cumsum(counts) - 1] = sizes - (counts - 1) * max_size
    return blocks


def _shards(dataset: Any) -> tuple[np.ndarray, list[str]]:
    """Return the size of each run of clips of one shard, and the paths of all shards; a single run without an index."""
    index = getattr(dataset, "index", None) if getattr(dataset, "serialize_data", False) else None
    if index is None or "pack" not in index.columns or not len(dataset):
        return np.array([len(dataset)]), []
    ends = np.flatnonzero(np.diff(dataset.column("pack"), append=-1)) + 1
    return np.diff(ends, prepend=0), list(index.categories("pack"))
