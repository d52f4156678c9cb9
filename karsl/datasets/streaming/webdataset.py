"""Random access to the clips of WebDataset tars, which are memory-mapped and indexed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from karsl.datasets.keypoint_dataset import KeypointDataset
from karsl.errors import AnnotationError, ConfigError, did_you_mean
from karsl.io.remote import is_remote
from karsl.io.remote_cache import DEFAULT_BYTES, FileCache, Span
from karsl.registry import DATASETS
from karsl.skeletons import get_skeleton
from karsl.webdataset.samples import to_record
from karsl.webdataset.shards import TarShards, read_manifest, shard_names


@DATASETS.register_module()
class TarDataset(KeypointDataset):
    """Clips of WebDataset tars, written by karsl or others: one `.npy` or `.npz` per clip, with an optional `.json` and
    `.cls`.

    Each clip is (T, V, 3 or 4). Its `.json` contains `label`, or `sign` if the metainfo has `signs`, and any other record
    key that karsl does not use itself; `.cls` contains the label. Tars written by karsl have their metainfo in `tars.json`.

    Args:
        tars: A path, URL, folder or pattern (`clips-{000000..000012}.tar`, `*.tar`), or several of them.
        pipeline: Transforms.
        member: File extension of the clips, for samples with several arrays.
        nonfinite: `'missing'` if NaN marks a missing keypoint; `'raise'` treats NaN as damage.
        fetch: `'whole'` downloads complete tars. `'ranges'` downloads only the clips that are read, those of a batch
            together, from remote tars with an index next to them; for a part of the clips, or a small disk.
        cache_dir: Folder for indexes, downloads and unpacked tars. None uses the user's cache folder.
        cache_bytes: Maximum cache size in bytes. Least recently used files are deleted first.
        download: `'all'` downloads all tars at once, as random access needs them; `'on_demand'` leaves it to `fetch_shard`,
            as a stream does.
        options: Arguments of `KeypointDataset`, such as `skeleton`, `metainfo` and `filter_cfg`.

    Raises:
        ConfigError: If the skeleton is unknown, `download` is unknown, or remote tars are larger than `cache_bytes`.
        DatasetNotFoundError: If a local tar does not exist.
        CorruptRecordError: If a tar is truncated or damaged; the message names member and byte.
        FetchError: If a remote tar cannot be downloaded.
    """

    UNCACHED_ATTRIBUTES = KeypointDataset.UNCACHED_ATTRIBUTES | {"_shards", "_download_all"}

    def __init__(
        self,
        tars: str | Path | Sequence[str | Path],
        pipeline: Sequence = (),
        *,
        member: str | None = None,
        nonfinite: str = "raise",
        fetch: str = "whole",
        cache_dir: str | None = None,
        cache_bytes: int = DEFAULT_BYTES,
        download: str = "all",
        **options: Any,
    ) -> None:
        if download not in ("all", "on_demand"):
            raise ConfigError(f"{type(self).__name__}: download={download!r}; expected 'all' or 'on_demand'")
        cache = FileCache(cache_dir, max_bytes=cache_bytes)
        self._shards = TarShards(tuple(shard_names(tars)), cache, member=member, nonfinite=nonfinite, fetch=fetch)
        stored = read_manifest(str(self._shards.names[0]).rpartition("/")[0] or ".", cache).get("metainfo", {})
        self._stored_metainfo = stored  # lower priority than the user's, and its strings are never read as paths
        skeleton = options.get("skeleton") or dict(options.get("metainfo") or {}).get("skeleton") or stored.get("skeleton")
        if skeleton is None:
            raise ConfigError(f"{type(self).__name__}: unknown skeleton of {tars!r}; pass skeleton=, such as 'karsl_184'")
        options["skeleton"] = skeleton
        self._num_keypoints = get_skeleton(skeleton).num_keypoints
        self._index_options = (member, nonfinite, fetch)  # attributes are part of the index fingerprint; `_shards` is not
        self._download_all = download == "all"
        super().__init__(pipeline=pipeline, **options)

    def full_init(self) -> None:
        if not self._fully_initialized:
            super().full_init()
            if self._download_all and self.has_remote_shards:
                self._fetch_all()

    def _fetch_all(self) -> None:
        """Download or unpack all tars.

        Raises:
            ConfigError: If the cache is too small.
        """
        shards, max_bytes, total = self._shard_of_clips(), self._shards.cache.max_bytes, 0
        for number, path in enumerate(self.shard_paths()):
            self.fetch_shard(path, np.flatnonzero(shards == number))
            total += Path(path).stat().st_size
            if total > max_bytes:
                raise ConfigError(
                    f"TarDataset: random access has to download all tars, which are larger than cache_bytes={max_bytes}; "
                    "increase it, or use StreamDataset"
                )

    def index_inputs(self) -> list[str]:
        """Return the index files of the tars, which contain size, time and checksum of each tar."""
        return [str(self._shards.index_file(name)) for name in self._shards.names]

    def load_data_list(self) -> list[dict]:
        """Return a record of each clip, in the order of the tars.

        Raises:
            AnnotationError: If there are no clips, their number of keypoints differs from the skeleton's, or a label is not
                an integer.
        """
        for key, value in self._stored_metainfo.items():
            self._metainfo.setdefault(key, value)
        labels = {sign: label for label, sign in enumerate(self._metainfo.get("signs", ()))}
        records: list[dict] = []
        for name in self._shards.names:
            path, index = self._shards.index(name)
            if index.clips and index.num_keypoints != self._num_keypoints:
                raise AnnotationError(
                    f"{name}: clips of {index.num_keypoints} keypoints, but the skeleton has {self._num_keypoints}"
                )
            for clip in index.clips:
                location = {
                    "keypoint_path": str(path),
                    "byte_start": clip.start,
                    "num_frames": clip.frames,
                    "dtype": clip.dtype,
                }
                record = to_record(clip.key, clip.metadata, labels, str(name))
                records.append({**record, **location, "xxh3": clip.xxh3, "pack": str(path)})
        if not records:
            raise self._no_clips_error()
        return records

    def _no_clips_error(self) -> AnnotationError:
        name, member = self._shards.names[0], self._shards.member
        extensions = self._shards.extensions(name)
        problem = "no clips, which are .npy or .npz" if member is None else f"no sample has a member={member!r}"
        hint = f"; its samples have {', '.join(extensions)}" if extensions else "; it contains no samples"
        return AnnotationError(f"{name}: {problem}{did_you_mean(member or '', extensions)}{hint}")

    def shard_paths(self) -> list[str]:
        """Return the local path of each tar that has clips."""
        if self.serialize_data:
            return [str(path) for path in self.index.categories("pack")] if len(self) else []
        return list(dict.fromkeys(record["pack"] for record in self.data_list))

    def _shard_of_clips(self) -> np.ndarray:
        if self.serialize_data:
            return self.column("pack")
        paths = self.shard_paths()
        return np.array([paths.index(record["pack"]) for record in self.data_list], np.int64)

    @property
    def has_remote_shards(self) -> bool:
        """True if a tar has to be downloaded or unpacked before it is read."""
        return not {str(path) for path in self.shard_paths()} <= set(self._shards.names)

    @property
    def cache(self) -> FileCache:
        """Cache of downloaded and unpacked tars."""
        return self._shards.cache

    def fetch_shard(self, path: str, indices: np.ndarray) -> None:
        """Make clips of a tar available locally: the complete tar or, with `fetch='ranges'`, these clips.

        Args:
            path: Path in the records.
            indices: int64 (N,), indices of the clips.

        Raises:
            FetchError: If the download fails.
        """
        for name in self._shards.names:
            if Path(path) in self._shards.paths(name):
                if self.fetches_ranges and is_remote(name):
                    return self._shards.fetch_ranges(name, self._spans(indices))
                return self._shards.fetch_tar(name, Path(path))

    @property
    def fetches_ranges(self) -> bool:
        """True if clips are downloaded one by one instead of shard by shard."""
        return self._shards.fetch == "ranges"

    def _spans(self, indices: np.ndarray) -> list[Span]:
        """Return the bytes of some clips, from columns if there are any: no record is decoded."""
        names = ("byte_start", "num_frames", "dtype", "xxh3")
        if self.serialize_data:
            values = [self.column(name)[indices].tolist() for name in names]
            dtypes = self.index.categories("dtype")
            values[2] = [dtypes[code] for code in values[2]]
        else:
            values = [[self.data_list[index][name] for index in indices.tolist()] for name in names]
        frame_values = self._num_keypoints * 4
        return [
            Span(start, start + num_frames * frame_values * np.dtype(dtype).itemsize, checksum)
            for start, num_frames, dtype, checksum in zip(*values, strict=True)
        ]
