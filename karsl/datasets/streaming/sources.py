"""Sources of a stream: a dataset with random access and, for remote data, the download of its shards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from karsl.datasets.keypoint_dataset import KeypointDataset
from karsl.datasets.streaming.arrays import ArrayShards
from karsl.datasets.streaming.headers import is_array_name
from karsl.datasets.streaming.prefetch import RemoteShards
from karsl.datasets.streaming.rows import RAW, ArrayDataset
from karsl.datasets.streaming.webdataset import TarDataset
from karsl.errors import AnnotationError, ConfigError, CorruptRecordError, DatasetNotFoundError, FetchError, KarslError
from karsl.formats.arrays import has_array_files
from karsl.io.annotations import MANIFEST, shorten
from karsl.io.pack_reader import ANNOTATIONS, sibling_filename
from karsl.io.remote import is_remote, local_path
from karsl.io.remote_cache import FileCache
from karsl.pack.manifest import FileStat, Manifest
from karsl.registry import DATASETS
from karsl.webdataset.shards import expand_braces, is_tar_name, list_tars, read_manifest

StreamSource = tuple[KeypointDataset, RemoteShards | None]
"""A dataset and access to its shards; None if all of them are local."""


def open_stream_source(
    source: Any, pipeline: Sequence | None, *, cache_dir: str | None, cache_bytes: int, options: dict[str, Any]
) -> StreamSource:
    """Open the source of a stream.

    Args:
        source: See `StreamDataset`.
        pipeline: Transforms. None keeps those of the source.
        cache_dir, cache_bytes: See `StreamDataset`.
        options: Arguments of the dataset.

    Raises:
        ConfigError: If `source` has the wrong type or does not accept the options.
        DatasetNotFoundError: If the path contains no dataset.
    """
    if isinstance(source, Mapping):
        dataset = _build(source, pipeline, options)
    elif isinstance(source, (str, Path)) or (isinstance(source, Sequence) and source):
        names = [local_path(s) for s in ([source] if isinstance(source, (str, Path)) else source)]
        cache = FileCache(cache_dir, max_bytes=cache_bytes)
        if _has_array_files(names, options):
            is_raw = options.get("layout") == RAW
            kind = ArrayDataset if is_raw else ArrayShards
            options = {key: value for key, value in options.items() if not (is_raw and key == "layout")}
            shards = kind(names, pipeline or (), cache=cache, **options)
            shards.full_init()
            return shards, RemoteShards(shards.fetch_shard, cache) if shards.is_remote else None
        names = _list_remote_folder(names, cache)
        if _is_pack(names):
            return _open_pack_source(names[0], pipeline or (), cache=cache, options=options)
        _check_local_folders(names)
        caching: dict[str, Any] = {"cache_dir": cache_dir, "cache_bytes": cache_bytes, "download": "on_demand"}
        dataset = TarDataset(names, pipeline or (), **caching, **options)
    else:
        dataset = _adopt(source, pipeline, options)
    if hasattr(dataset, "full_init"):
        dataset.full_init()
    is_remote_tar = isinstance(dataset, TarDataset) and dataset.has_remote_shards
    return dataset, RemoteShards(dataset.fetch_shard, dataset.cache) if is_remote_tar else None


def _build(cfg: Mapping, pipeline: Sequence | None, options: dict[str, Any]) -> Any:
    conflicts = sorted(key for key, value in options.items() if key in cfg and cfg[key] != value)
    if conflicts:
        raise ConfigError(
            f"StreamDataset: {', '.join(conflicts)} differs from that of the source's config; pass one of them"
        )
    return DATASETS.build({**cfg, **options, **({} if pipeline is None else {"pipeline": pipeline})})


def _adopt(dataset: Any, pipeline: Sequence | None, options: dict[str, Any]) -> Any:
    """Return a dataset that was passed as an object, or a copy with another pipeline."""
    if isinstance(dataset, Sequence) or not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise ConfigError(f"StreamDataset: source={dataset!r}; expected a path, a URL, a config or a dataset with a length")
    unused = sorted(set(options) - {"seed"})
    if unused and {key: options[key] for key in unused} != {"on_error": getattr(dataset, "on_error", None)}:
        raise ConfigError(f"StreamDataset: pass {', '.join(unused)} to the {type(dataset).__name__} itself")
    if pipeline is None:
        return dataset
    if not isinstance(dataset, KeypointDataset):
        raise ConfigError(
            f"StreamDataset: a {type(dataset).__name__} accepts no pipeline; apply the transforms with MapDataset"
        )
    return dataset.with_pipeline(pipeline)


def _list_remote_folder(names: list[str], cache: FileCache) -> list[str]:
    """Replace a remote folder by the tars that its `tars.json` lists; return other names unchanged."""
    if len(names) > 1 or not is_remote(names[0]) or is_tar_name(names[0]) or "{" in names[0]:
        return names
    folder = names[0].rstrip("/")
    try:
        tars = read_manifest(folder, cache).get("tars", ())
    except FetchError:
        if not cache.path(f"{folder}/{MANIFEST}").is_file():
            raise
        return names  # a pack of an earlier start; the server that does not answer would not list tars
    return [f"{folder}/{name}" for name in tars] or names


def _is_pack(names: list[str]) -> bool:
    """Return True for a single local folder with a pack or any single remote folder."""
    if len(names) > 1 or "{" in names[0] or "*" in names[0]:
        return False
    if is_remote(names[0]):
        return not is_tar_name(names[0])
    return (Path(names[0]) / ANNOTATIONS).is_file()


def _has_array_files(names: list[str], options: Mapping[str, Any]) -> bool:
    """Return True for array files that karsl did not write, by an option, their suffix, or the content of a folder."""
    if all(map(is_array_name, names)):
        return True
    is_described = not {"layout", "pattern", "labels"}.isdisjoint(options)
    if is_remote(names[0]):
        return is_described and not is_tar_name(names[0])
    folder = Path(names[0])
    if len(names) > 1 or not folder.is_dir() or (folder / ANNOTATIONS).is_file():
        return False
    return is_described or (not list_tars(folder) and has_array_files(folder))


def _check_local_folders(names: list[str]) -> None:
    for name in (n for pattern in names for n in expand_braces(pattern)):
        if not is_remote(name) and Path(name).is_dir() and not list_tars(Path(name)):
            raise DatasetNotFoundError(
                f"{name} contains neither tars nor a pack nor array files; see 'karsl pack --help', or pass "
                f"dict(type='KArSLDataset', data_root={name!r}) for the folders of KArSL"
            )


def _open_pack_source(folder: str, pipeline: Sequence, *, cache: FileCache, options: dict[str, Any]) -> StreamSource:
    """Open a local or remote pack.

    Raises:
        FetchError: If its manifest or annotations cannot be downloaded.
    """
    root, remote = folder, None
    if is_remote(folder):
        url = folder.rstrip("/")
        files = _refresh_files(cache, url)
        root = str(cache.path(f"{url}/{MANIFEST}").parent)
        remote = RemoteShards(partial(_fetch_shard, cache, url, files), cache)
    with cache.drop_if_unreadable(f"{folder.rstrip('/')}/{ANNOTATIONS}"):
        options = {"data_root": root, "data_prefix": {"keypoint_path": ""}, "pipeline": pipeline, **options}
        dataset = KeypointDataset(ANNOTATIONS, **options) if remote is None else RemotePackDataset(files, **options)
    return dataset, remote


class RemotePackDataset(KeypointDataset):
    """Clips of a pack on a server, whose records may name the shards of its manifest only, no other file of this machine.

    Args:
        files: Names of the pack's files.
        options: Arguments of `KeypointDataset`.

    Raises:
        AnnotationError: If a record names another file.
    """

    def __init__(self, files: Iterable[str], **options: Any) -> None:
        self._shard_names = frozenset(name for name in files if name.startswith("frames-"))
        super().__init__(ANNOTATIONS, **options)

    def index_inputs(self) -> list[str]:
        """Return no files besides the annotations."""
        return []

    def parse_data_info(self, raw_data_info: dict) -> dict | list[dict]:
        """Check that the record is a clip of a shard, and join the prefix."""
        path = raw_data_info.get("keypoint_path")
        if not isinstance(path, str) or path not in self._shard_names or "frame_start" not in raw_data_info:
            raise AnnotationError(
                f"{self.ann_file}: a record has keypoint_path={shorten(path)}, which is no shard of the pack; do not "
                "trust it, get another copy"
            )
        return super().parse_data_info(raw_data_info)


def _fetch_shard(cache: FileCache, url: str, files: Mapping[str, FileStat], path: str, indices: np.ndarray) -> None:
    """Download the files of one shard of a pack: frames, presence and checksums.

    Args:
        cache: Cache for the files.
        url: URL of the pack.
        files: Manifest entry of each file, by name.
        path: Path of the frames in the cache.
        indices: Indices of the clips to read. Ignored: a shard is downloaded completely.

    Raises:
        FetchError: If a download fails.
        CorruptRecordError: If a file does not match the manifest.
    """
    frames = Path(path).name
    for name in (sibling_filename(frames, "presence"), sibling_filename(frames, "clips"), frames):
        if name in files:
            check = partial(_check_file, f"{url}/{name}", files[name])
            cache.get(f"{url}/{name}", check=check, size=files[name].bytes)


def _refresh_files(cache: FileCache, url: str) -> dict[str, FileStat]:
    """Update the cached manifest and annotations; remove cached files of an earlier version of the pack."""
    folder, previous = cache.path(f"{url}/{MANIFEST}").parent, {}
    with suppress(KarslError, FileNotFoundError):
        previous = _manifest_files(folder)
    cache.revalidate(f"{url}/{MANIFEST}")
    with cache.drop_if_unreadable(f"{url}/{MANIFEST}"):
        files = _manifest_files(folder)
    for name, entry in previous.items():
        if files.get(name) != entry:
            cache.drop(f"{url}/{name}")
    cache.revalidate(f"{url}/{ANNOTATIONS}")
    return files


def _manifest_files(folder: Path) -> dict[str, FileStat]:
    return Manifest.read(folder).files()


def _check_file(url: str, entry: FileStat, downloaded: Path) -> None:
    if FileStat.from_path(downloaded) != entry:
        raise CorruptRecordError(
            f"{url}: the checksum differs from the manifest after the download; copy the pack to the server again"
        )
