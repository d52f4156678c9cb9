"""Tars as a dataset with random access: mapped, with an index of their members."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from karsl.datasets.keypoint_dataset import KeypointDataset
from karsl.errors import AnnotationError, ConfigError, did_you_mean
from karsl.registry import DATASETS
from karsl.skeletons import get_skeleton
from karsl.storage.fetch.cache import DEFAULT_BYTES, FileCache
from karsl.storage.fetch.download import is_remote
from karsl.storage.fetch.sparse import Span
from karsl.storage.tar.facts import record_of
from karsl.storage.tar.names import shard_names
from karsl.storage.tar.shards import TarShards, told_by

_COLUMNS = ("pack", "byte_start", "num_frames", "dtype", "xxh3")


@DATASETS.register_module()
class TarDataset(KeypointDataset):
    """Clips of WebDataset tars, ours or other people's: one `.npy` or `.npz` a clip, `.json` and `.cls` beside it.

    Each clip is (T, V, 3 or 4). Its `.json` gives `label`, or `sign` with `signs` in the metainfo, and any other key of a
    record but those that karsl uses itself; `.cls` gives the label. Tars of ours bring their metainfo in `tars.json`.

    Args:
        tars: A path, URL, folder or pattern (`clips-{000000..000012}.tar`, `*.tar`), or several.
        pipeline: Transforms.
        member: Extension of the clips where samples hold several arrays.
        nonfinite: `'missing'` where NaN stands for a missing point; `'raise'` takes it as damage.
        fetch: `'whole'` tars, or `'ranges'`: of tars elsewhere with an index beside them only the clips that are read, those
            of a batch together; for a part of the clips, or where the disk is small.
        cache_dir: For indexes, and for what comes from elsewhere or has to be unpacked; None is the user's cache folder.
        cache_bytes: Of all files there; the longest unused go.
        bring: Have all tars here at once, as random access needs them; a stream brings them one after the other.
        options: Of `KeypointDataset`, `skeleton`, `metainfo` and `filter_cfg` among them.

    Raises:
        ConfigError: No skeleton is known, or tars from elsewhere are more than `cache_bytes`.
        DatasetNotFoundError: No such tar on this machine.
        CorruptRecordError: A tar is cut off or damaged; the text names member and byte.
        FetchError: One elsewhere cannot be had.
    """

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
        bring: bool = True,
        **options: Any,
    ) -> None:
        cache = FileCache(cache_dir, max_bytes=cache_bytes)
        self._shards = TarShards(tuple(shard_names(tars)), cache, member=member, nonfinite=nonfinite, fetch=fetch)
        told = told_by(str(self._shards.names[0]).rpartition("/")[0] or ".", cache).get("metainfo", {})
        self._told = told  # laid below what the user gives, and taken as it is: a file is never looked for by its strings
        skeleton = options.get("skeleton") or dict(options.get("metainfo") or {}).get("skeleton") or told.get("skeleton")
        if skeleton is None:
            raise ConfigError(f"{type(self).__name__}: what are the keypoints of {tars!r}? Give skeleton='karsl_184', say")
        options["skeleton"] = skeleton
        self._tar_facts = (get_skeleton(skeleton).num_keypoints, member, nonfinite, fetch)
        self._bring_all = bring
        super().__init__(pipeline=pipeline, **options)

    def full_init(self) -> None:
        if not self._fully_initialized:
            super().full_init()
            if self._bring_all and self.brings_shards:
                self._bring_everything()

    def _bring_everything(self) -> None:
        """Have all tars here.

        Raises:
            ConfigError: The cache does not hold them.
        """
        shards, most, total = self._shard_of_clips(), self._shards.cache.max_bytes, 0
        for number, path in enumerate(self.shard_paths()):
            self.bring_shard(path, np.flatnonzero(shards == number))
            total += Path(path).stat().st_size
            if total > most:
                raise ConfigError(
                    f"TarDataset: tars of more than cache_bytes={most} have to be brought for random access; allow more, or "
                    "read them with StreamDataset"
                )

    def index_inputs(self) -> list[str]:
        """The index files of the tars; they name size, time and checksum of each."""
        return [str(self._shards.index_file(name)) for name in self._shards.names]

    def load_data_list(self) -> list[dict]:
        """A record of every clip, in the order of the tars.

        Raises:
            AnnotationError: There are no clips, they have another number of keypoints than the skeleton, or a label is no
                whole number.
        """
        for key, value in self._told.items():
            self._metainfo.setdefault(key, value)
        points, signs = self._tar_facts[0], {s: i for i, s in enumerate(self._metainfo.get("signs", ()))}
        records: list[dict] = []
        for name in self._shards.names:
            path, index = self._shards.index(name)
            if index.clips and index.num_keypoints != points:
                raise AnnotationError(
                    f"{name}: clips of {index.num_keypoints} keypoints, the skeleton has {points}; is it right?"
                )
            for clip in index.clips:
                record = record_of(clip.key, clip.facts, signs, str(name))
                where = {
                    "keypoint_path": str(path),
                    "byte_start": clip.start,
                    "num_frames": clip.frames,
                    "dtype": clip.dtype,
                }
                records.append({**record, **where, "xxh3": clip.xxh3, "pack": str(path)})
        if not records:
            raise self._no_clips()
        return records

    def _no_clips(self) -> AnnotationError:
        name, wanted = self._shards.names[0], self._tar_facts[1]
        seen = self._shards.extensions(name)
        what = "without clips, which are .npy or .npz" if wanted is None else f"no sample has a member={wanted!r}"
        hint = f"; its samples have {', '.join(seen)}" if seen else "; it holds no samples"
        return AnnotationError(f"{name}: {what}{did_you_mean(wanted or '', seen)}{hint}")

    def clip_records(self, places: np.ndarray) -> list[dict]:
        """What LoadKeypoints needs to read the clips at some places, from columns: no record is decoded."""
        if not self.serialize_data or not set(_COLUMNS) <= set(self.index.columns):
            return super().clip_records(places)
        paths, kinds, skeleton = self.index.categories("pack"), self.index.categories("dtype"), self.skeleton
        rows = zip(*(self.column(name)[places].tolist() for name in _COLUMNS), strict=True)
        return [
            {"keypoint_path": paths[path], "byte_start": start, "num_frames": frames, "dtype": kinds[kind], "xxh3": checksum,
             "skeleton": skeleton}
            for path, start, frames, kind, checksum in rows
        ]  # fmt: skip

    def shard_paths(self) -> list[str]:
        """Where the clips are mapped, one path a tar that has clips."""
        if self.serialize_data:
            return [str(path) for path in self.index.categories("pack")] if len(self) else []
        return list(dict.fromkeys(record["pack"] for record in self.data_list))

    def _shard_of_clips(self) -> np.ndarray:
        if self.serialize_data:
            return self.column("pack")
        paths = self.shard_paths()
        return np.array([paths.index(record["pack"]) for record in self.data_list], np.int64)

    @property
    def brings_shards(self) -> bool:
        """Whether a tar comes from elsewhere or is unpacked first."""
        return not {str(path) for path in self.shard_paths()} <= set(self._shards.names)

    @property
    def cache(self) -> FileCache:
        """Of what comes from elsewhere."""
        return self._shards.cache

    def bring_shard(self, path: str, places: np.ndarray) -> None:
        """Have some clips of a tar here, if they are not: all of it, or just these.

        Args:
            path: Of the records.
            places: int64 (N,), of the clips.

        Raises:
            FetchError: It cannot be had.
        """
        for name in self._shards.names:
            if Path(path) in self._shards.paths(name):
                if self._shards.fetch == "ranges" and is_remote(name):
                    return self._shards.bring_spans(name, self._spans(places))
                return self._shards.bring(name, Path(path))

    @property
    def fetches_ranges(self) -> bool:
        """Whether clips come one by one, not shard by shard."""
        return self._shards.fetch == "ranges"

    def _spans(self, places: np.ndarray) -> list[Span]:
        found = []
        for record in self.clip_records(places):
            first, points = record["byte_start"], self._tar_facts[0]
            nbytes = record["num_frames"] * points * 4 * np.dtype(record["dtype"]).itemsize
            found.append(Span(first, first + nbytes, record["xxh3"]))
        return found
