"""A stream of clips: the order of shards, dealt out to ranks and workers, read by the dataset that knows the clips."""

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
from karsl.datasets.partition import EpochOrder
from karsl.datasets.resume import Resumable
from karsl.datasets.stream.bring import Bringer
from karsl.datasets.stream.iterator import StreamIterator
from karsl.datasets.stream.source import open_source
from karsl.datasets.transforms.loading import LoadKeypoints
from karsl.errors import ConfigError
from karsl.registry import DATASETS
from karsl.skeletons import Skeleton

_CHUNK = 64
_OPEN_SHARDS = 32
_TRIES = 4  # other shards, before a server is taken to be down


@DATASETS.register_module()
class StreamDataset(Resumable, IterableDataset):
    """Clips of shards, each exactly once an epoch over all ranks and workers, with the transforms and batches of a dataset.

    Shards come in random order and clips are mixed within a window of consecutive ones. The order is a function of (seed,
    epoch) and batches are the same for any number of workers; where a run stopped is one integer, see `Resumable`. The
    length is known. Shards elsewhere come through a cache while earlier ones are read.

    In MMEngine's configs the loader has `sampler=None`. With two workers or more the stream must know the batch size of its
    loader: `build_runner` tells it, in a loop of one's own give `batch_size`.

    Args:
        source: A folder or URL of a pack (`karsl pack`), tars as `TarDataset` takes them, or any dataset with random access
            or its config.
        pipeline: Transforms; None leaves those of the source. A dataset that is given keeps its own: the stream reads a copy
            on the same index.
        seed: Of order and draws; None takes that of `set_epoch`.
        shuffle: False gives clips as they lie.
        window: Clips that are mixed; several shards' worth mixes shards too.
        chunk: Neighbouring clips that stay in one window; None is 64 of what lies here, whose parts are as good as shards,
            and whole shards of what comes from elsewhere.
        mode: `'pad'` repeats a few clips so that ranks have equally many, `'drop'` leaves a few out, `'uneven'` gives every
            clip exactly once.
        batch_size: Of the loader.
        on_error: `'raise'`, or `'skip'` to put other clips in the place of those that cannot be had; counted and reported,
            see `num_skipped`.
        cache_dir: For what comes from elsewhere; None is the user's cache folder.
        cache_bytes: Of all files there; the longest unused go.
        options: Of the dataset that is made of a path or config: `skeleton`, `metainfo`, `filter_cfg`, `test_mode`,
            `index_cache`, ...

    Raises:
        ConfigError: A number outside its range, `source` names nothing that can be read, or has options of its own.
        FetchError: The list of clips cannot be had from elsewhere.
    """

    def __init__(
        self,
        source: str | Path | Sequence[str | Path] | Mapping | KeypointDataset,
        pipeline: Sequence[dict | Callable] | None = None,
        *,
        seed: int | None = None,
        shuffle: bool = True,
        window: int = 8192,
        chunk: int | None = None,
        mode: str = "pad",
        batch_size: int | None = None,
        on_error: str = "raise",
        cache_dir: str | None = None,
        cache_bytes: int = 20 << 30,
        **options: Any,
    ) -> None:
        if on_error not in ("raise", "skip"):
            raise ConfigError(f"StreamDataset: on_error={on_error!r}; expected 'raise' or 'skip'")
        check_int("StreamDataset", low=1, window=window, chunk=1 if chunk is None else chunk)
        given = options | ({} if seed is None else {"seed": seed}) | ({} if on_error == "raise" else {"on_error": on_error})
        self.dataset, files = open_source(source, pipeline, cache_dir=cache_dir, cache_bytes=cache_bytes, options=given)
        if files and not self.dataset.serialize_data:
            raise ConfigError(
                "StreamDataset: serialize_data=False, but only the index says which shards to bring here; leave it True"
            )
        self.shuffle, self.window, self.on_error = shuffle, window, on_error
        sizes, paths = _shards(self.dataset)
        self._sizes = sizes if files and chunk is None else _cut(sizes, chunk or _CHUNK)
        self._bringer = Bringer(paths, files) if files else None
        self._good: np.ndarray | None = None
        self._open: set[int] = set()
        super().__init__(seed=seed, mode=mode)
        self.batch_size = batch_size

    @property
    def total(self) -> int:
        return len(self.dataset)

    def options(self) -> tuple:
        sizes = xxh3_64_intdigest(self._sizes.astype(np.int64).tobytes()) if self.shuffle else 0
        return self.shuffle, min(self.window, self.total), sizes

    def order(self, seed: int, epoch: int) -> EpochOrder:
        return EpochOrder(self._sizes, seed=seed, epoch=epoch, shuffle=self.shuffle, window=self.window)

    def __iter__(self) -> Iterator[dict]:
        self._find_rank()
        worker = get_worker_info()
        number, count = (worker.id, worker.num_workers) if worker else (0, 1)
        if count > 1 and self.batch_size is None:
            raise ConfigError(
                f"StreamDataset: {count} workers take turns batch by batch; give batch_size= as the loader has it"
            )
        if self._bringer is not None:
            self._bringer.forget()
        return StreamIterator(self, batch_size=self.batch_size, num_workers=count, worker=number)

    def set_epoch(self, epoch: int, seed: int | None = None) -> None:
        """Go to an epoch, order and draws; another than the present one begins at its first clip.

        Args:
            epoch: 0 or more.
            seed: Taken if none was given yet.
        """
        super().set_epoch(epoch, seed)
        self._tell_epoch()

    def load_state_dict(self, state: dict[str, int]) -> None:
        super().load_state_dict(state)
        self._tell_epoch()

    def _tell_epoch(self) -> None:
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(self.epoch, seed=self.seed)

    # ---- what the clips are ----

    @property
    def metainfo(self) -> dict:
        """Of the source."""
        return self.dataset.metainfo

    @property
    def skeleton(self) -> Skeleton | None:
        """Of the clips on disk."""
        return self.dataset.skeleton

    @property
    def output_skeleton(self) -> Skeleton | None:
        """At the end of the pipeline."""
        return self.dataset.output_skeleton

    @property
    def output_channels(self) -> int:
        """C at the end of the pipeline."""
        return self.dataset.output_channels

    @property
    def num_skipped(self) -> int:
        """Clips replaced by others so far, over all workers."""
        return self.dataset.num_skipped

    def full_init(self) -> None:
        """Nothing is left to be done; for those who call it on every dataset."""

    # ---- batches ----

    @property
    def is_remote(self) -> bool:
        """Whether shards come from elsewhere."""
        return self._bringer is not None

    @property
    def ahead(self) -> int:
        """How many clips before they are read a shard is asked for."""
        return max(1, self.window // self.share().world)

    @property
    def fetches_ranges(self) -> bool:
        """Whether clips come from elsewhere one by one, not shard by shard."""
        return bool(getattr(self.dataset, "fetches_ranges", False))

    def ask_for(self, places: np.ndarray) -> None:
        """Have some clips, or their shards, on their way."""
        if self._bringer is not None:
            self._bringer.ask(self.dataset.column("pack")[places], places)

    def batch(self, places: np.ndarray) -> Sequence[Any]:
        """The samples at some places, to be finished in one pass by `keypoint_collate`.

        Args:
            places: int64 (N,).

        Raises:
            FetchError: A shard cannot be had, unless `on_error='skip'` and others can.
        """
        if self._bringer is not None:
            places = self._here(places, self._bringer)
        getitems = getattr(self.dataset, "__getitems__", None)
        return [self.dataset[place] for place in places.tolist()] if getitems is None else getitems(places)

    def _here(self, places: np.ndarray, bringer: Bringer) -> np.ndarray:
        """The places, their shards brought; with `on_error='skip'` others where a shard cannot be had."""
        shards = self.dataset.column("pack")[places]
        self._open.update(shards.tolist())
        if len(self._open) > _OPEN_SHARDS:  # a file that was let go keeps its bytes on the disk while it is mapped
            self._open = set(shards.tolist())
            for step in getattr(self.dataset.pipeline, "transforms", ()):
                if isinstance(step, LoadKeypoints):
                    step.close()
        lost = bringer.bring(shards, places, skip=self.on_error == "skip")
        if lost:
            here = ~np.isin(shards, list(lost))
            instead = places[here] if here.any() else self._instead(len(places), lost, bringer)
            gone = np.flatnonzero(~here)
            for place in places[gone].tolist():
                self.dataset.add_skipped(place, str(lost[int(self.dataset.column("pack")[place])]))
            places = places.copy()
            places[gone] = instead[np.arange(len(gone)) % len(instead)]
        self._good = places
        return places

    def _instead(self, count: int, lost: dict[int, Exception], bringer: Bringer) -> np.ndarray:
        """Some clips that can be had: of the batch before, else of a few other shards in random order."""
        shards = self.dataset.column("pack")
        left = np.random.default_rng([self.seed, self.epoch]).permutation(np.setdiff1d(shards, list(lost)))
        others = (np.flatnonzero(shards == shard)[:count] for shard in left[:_TRIES])
        for places in others if self._good is None else chain([self._good], others):
            if not bringer.bring(shards[places], places, skip=True):
                return places
        raise next(iter(lost.values()))

    def __getstate__(self) -> dict:
        return {**super().__getstate__(), "_good": None, "_open": set()}


def _cut(sizes: np.ndarray, most: int) -> np.ndarray:
    """Sizes of the parts when nothing may be larger than `most`.

    Example:
        >>> _cut(np.array([3, 5]), 2)
        array([2, 1, 2, 2, 1])
    """
    parts = np.maximum(1, -(-sizes // most))
    cut = np.full(parts.sum(), most)
    last = np.cumsum(parts) - 1
    cut[last] = sizes - (parts - 1) * most
    return cut


def _shards(dataset: Any) -> tuple[np.ndarray, list[str]]:
    """Clips of each run of one shard, and the paths of all shards; one run where nothing says more."""
    index = getattr(dataset, "index", None) if getattr(dataset, "serialize_data", False) else None
    if index is None or "pack" not in index.columns or not len(dataset):
        return np.array([len(dataset)]), []
    ends = np.flatnonzero(np.diff(dataset.column("pack"), append=-1)) + 1
    return np.diff(ends, prepend=0), list(index.categories("pack"))
