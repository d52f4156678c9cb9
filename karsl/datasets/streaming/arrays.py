"""Clips of array files as the source of a stream: files that karsl did not write, local or remote."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from glob import has_magic
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log
from xxhash import xxh3_64_hexdigest

from karsl.datasets.keypoint_dataset import KeypointDataset
from karsl.datasets.streaming.headers import HeaderCopy, copy_headers, is_array_name, list_remote_files
from karsl.errors import CorruptRecordError, KarslError, pluralize
from karsl.formats.array_labels import RULES
from karsl.formats.arrays import list_array_files
from karsl.io.remote import is_remote
from karsl.io.remote_cache import FileCache
from karsl.webdataset.shards import expand_braces

_MAX_NAMES = 3


class ArrayShards(KeypointDataset):
    """Clips of array files of one folder, each file a shard. Remote files are listed by their headers and fetched later.

    Args:
        source: Folder, or files of one folder: paths or URLs with braces, local ones also with `*`.
        pipeline: Transforms.
        cache: Cache of remote files.
        pattern: Files of a folder, see `karsl.formats.arrays.scan_arrays`.
        labels: Labels, see there; for remote files also a URL, or a path relative to the remote folder.
        options: Arguments of `KeypointDataset`.

    Raises:
        ConfigError: If the files are in several folders.
        DatasetNotFoundError: If there are no such files.
        FetchError: If remote headers cannot be downloaded.
    """

    UNCACHED_ATTRIBUTES = KeypointDataset.UNCACHED_ATTRIBUTES | {"pattern", "cache", "_copies", "_header_dir", "_files"}

    def __init__(
        self,
        source: Sequence[str],
        pipeline: Sequence = (),
        *,
        cache: FileCache,
        pattern: str | None = None,
        labels: str | None = None,
        **options: Any,
    ) -> None:
        self.cache = cache
        self._copies: Mapping[str, HeaderCopy] = {}
        self._header_dir: Path | None = None
        self._files: dict[str, tuple[int, int]] = {}
        files: str | Sequence[str] | None
        if is_remote(source[0]):
            urls = _list_remote(source, pattern, cache)
            self._copies = {str(cache.path(copy.url)): copy for copy in copy_headers(urls, cache)}
            self._header_dir = next(iter(self._copies.values())).path.parent
            root, files, labels = str(cache.path(urls[0]).parent), pattern, _fetch_labels(urls[0], labels, cache)
            names = [copy.name for copy in self._copies.values()]
            if pattern is None or "(?P<" not in pattern:
                files = names
            else:
                _remove_others(self._header_dir, names)
        else:
            root, files = _split_local(source, pattern)
        self._files_hash = xxh3_64_hexdigest(repr(files).encode("utf-8", "surrogatepass"))  # instead of the content of files
        prefix = {"keypoint_path": os.path.abspath(root)}
        options = {"data_root": root, "data_prefix": prefix, **options, "lazy_init": True}
        super().__init__(pipeline=pipeline, pattern=files, labels=labels, **options)  # type: ignore[arg-type]

    def full_init(self) -> None:
        if self._fully_initialized:
            return
        try:
            super().full_init()
        except KarslError as error:
            error.args = tuple(self._with_url(str(text)) for text in error.args)
            for copy in self._copies.values():
                if copy.name in str(error):  # the server may have sent something else: the next start asks again
                    copy.path.unlink(missing_ok=True)
                    self.cache.drop(copy.url)
            raise
        self._files = self._stat_files()

    def _with_url(self, text: str) -> str:
        """Replace the folder of copies in a message."""
        if self._header_dir is None:
            return text
        folder = next(iter(self._copies.values())).url.rpartition("/")[0]
        return text.replace(str(self._header_dir), folder)

    def _array_root(self) -> str | None:
        return super()._array_root() if self._header_dir is None else str(self._header_dir)

    def load_data_list(self) -> list[dict]:
        """Return a record per clip; its file is its shard."""
        return [{**record, "pack": record["keypoint_path"]} for record in super().load_data_list()]

    def index_inputs(self) -> list[str]:
        """Return the folder of the files or of the copies of their headers."""
        return super().index_inputs()

    @property
    def is_remote(self) -> bool:
        """True if files are downloaded."""
        return self._header_dir is not None

    def fetch_shard(self, path: str, indices: np.ndarray) -> None:
        """Download one file.

        Args:
            path: Path in the records.
            indices: Ignored: a file is downloaded completely.

        Raises:
            FetchError: If the download fails.
            CorruptRecordError: If it is not the file whose headers were read.
        """
        copy = self._copies[path]
        self.cache.get(copy.url, check=copy.check)

    # ---- changes of the folder ----

    def _stat_files(self) -> dict[str, tuple[int, int]]:
        """Return size and time of each local file that is there, by its name."""
        root, stats = super()._array_root(), {}
        if root is None or self.is_remote:
            return {}
        for name in list_array_files(Path(root), self.pattern)[1]:
            try:
                stat = os.stat(os.path.join(root, name))
            except FileNotFoundError:  # removed since it was listed; check_files reports it
                continue
            stats[name] = stat.st_size, stat.st_mtime_ns
        return stats

    def check_files(self) -> None:
        """Compare the local files with those that were listed: log new ones once.

        Raises:
            CorruptRecordError: If one was removed or replaced; with `on_error='skip'` it is logged.
        """
        try:
            current = self._stat_files()
        except KarslError:  # no file is left
            current = {}
        before, self._files = self._files, current
        added = sorted(current.keys() - before.keys())
        lost = sorted(name for name, stat in before.items() if current.get(name) != stat)
        if added:
            _warn(f"{self.data_root}: {_join(added)} added since the stream was made; make it again to read them")
        if lost:
            text = f"{self.data_root}: {_join(lost)} removed or replaced since the stream was made; make it again"
            if self.on_error != "skip":
                raise CorruptRecordError(text)
            _warn(text)


def _warn(text: str) -> None:
    print_log(text, logger="current", level=logging.WARNING)


def _join(names: Sequence[str]) -> str:
    listed = ", ".join(names[:_MAX_NAMES]) + (", ..." if len(names) > _MAX_NAMES else "")
    return f"{pluralize(len(names), 'file')} ({listed})"


def _split_local(source: Sequence[str], pattern: str | None) -> tuple[str, str | Sequence[str] | None]:
    """Return the folder of local files, and a pattern or their names."""
    paths = [path for name in source for path in expand_braces(name)]
    if len(paths) == 1 and os.path.isdir(paths[0]):
        return paths[0], pattern
    if len(paths) == 1 and has_magic(paths[0]):
        folder, name = os.path.split(paths[0])
        return folder or ".", name
    folder = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])
    return folder, [os.path.relpath(path, folder).replace(os.sep, "/") for path in paths]


def _list_remote(source: Sequence[str], pattern: str | None, cache: FileCache) -> list[str]:
    """Return the URLs of remote files: named ones, or those that the server lists."""
    if len(source) == 1 and pattern is not None and "(?P<" not in pattern and not has_magic(pattern):
        source = [f"{source[0].rstrip('/')}/{pattern}"]
    urls = [url for name in source for url in expand_braces(name)]
    return urls if all(map(is_array_name, urls)) else list_remote_files(urls[0], pattern, cache)


def _fetch_labels(url: str, labels: str | None, cache: FileCache) -> str | None:
    """Return the local path of a label file, which may be next to remote files."""
    if labels is None or labels in RULES or (not is_remote(labels) and os.path.isfile(labels)):
        return labels
    return str(cache.revalidate(labels if is_remote(labels) else f"{url.rpartition('/')[0]}/{labels}")[0])


def _remove_others(folder: Path, names: Sequence[str]) -> None:
    """Remove copies of an earlier start, since a regular expression is matched with all files of the folder."""
    for path in folder.iterdir():
        if path.name not in names and not path.name.startswith("."):
            path.unlink(missing_ok=True)
