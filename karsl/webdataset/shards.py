"""Tars by name or pattern, local or remote: their indexes, and local copies that can be mapped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from glob import glob, has_magic
from itertools import islice
from pathlib import Path
from urllib.error import HTTPError

from xxhash import xxh3_64_hexdigest

from karsl.errors import ConfigError, CorruptRecordError, DatasetNotFoundError, FetchError
from karsl.io.annotations import shorten
from karsl.io.hashing import file_xxh3
from karsl.io.remote import is_remote, local_path
from karsl.io.remote_cache import SPARSE, FileCache, Span, fetch_ranges_sparse
from karsl.webdataset.index import SUFFIX, TarIndex, find_indexes, load_index
from karsl.webdataset.samples import group_samples, is_compressed, iter_tar
from karsl.webdataset.write import TARS, read_tars, repack_tar

_ABSENT_STATUS = (403, 404, 410)
_BRACES = re.compile(r"\{([^{}]*)\}")
_NUMBERS = re.compile(r"(\d{1,18})\.\.(\d{1,18})")
_MAX_NAMES = 100_000
_TAR = re.compile(r"\.(tar(\.(gz|bz2|xz|zst))?|tgz)$")


@dataclass(frozen=True)
class TarShards:
    """Tars of a dataset.

    A local tar of canonical clips is mapped directly. A remote tar is downloaded to the cache, and a tar that is compressed
    or has other clips gets a copy there that can be mapped. With an index next to it, a remote tar is downloaded when its
    clips are read, not before.

    Args:
        names: Paths and URLs.
        cache: Cache for downloads and copies.
        member: Extension of the clips; None selects the only array of a sample.
        nonfinite: `'raise'`, or `'missing'` if NaN marks a missing point.
        fetch: `'whole'` tars, or `'ranges'`: only the clips that are read, of a remote tar with an index next to it.

    Raises:
        ConfigError: If `fetch` is unknown.
    """

    names: tuple[str, ...]
    cache: FileCache
    member: str | None = None
    nonfinite: str = "raise"
    fetch: str = "whole"
    _sizes: dict[str, int] = field(default_factory=dict, compare=False)
    _has_index: dict[str, bool] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if self.fetch not in ("whole", "ranges"):
            raise ConfigError(f"fetch={self.fetch!r} of tars; expected 'whole' or 'ranges'")

    def index(self, name: str, *, clips: bool = True) -> tuple[Path, TarIndex]:
        """Return the path at which a tar can be mapped, now or after `fetch_tar`, and its index, see `TarIndex.read`.

        Raises:
            FetchError: If it cannot be downloaded.
            CorruptRecordError: If it is damaged.
        """
        if is_remote(name):
            index = self._remote_index(name, clips=clips)
            if index is not None and index.mapped and self.member is None:
                return self._cached_path(name), index
            if self.fetch == "ranges":
                raise ConfigError(f"{name}: no usable index next to the tar for fetch='ranges'; use fetch='whole'")
        with self.cache.drop_if_unreadable(name):
            tar = self.cache.get(name)
            if not is_compressed(tar):
                index = self._load_index(tar, self.member, clips)
                if index.mapped:
                    return tar, index
        copy = self._fetch_copy(name)
        return copy, self._load_index(copy, None, clips)

    def index_file(self, name: str) -> Path:
        """Return the file that `index` reads, which changes with the tar.

        Raises:
            KarslError: See `index`.
        """
        path, _ = self.index(name, clips=False)
        if is_remote(name) and path == self._cached_path(name):
            sibling = self.cache.path(_index_url(name))
            if sibling.is_file():
                return sibling
        member = None if path == self.cache.path(self._copy_url(name)) else self.member
        files = find_indexes(path, cache=self.cache.folder / "indexes", member=member, nonfinite=self.nonfinite)
        return next(file for file in files if file.is_file())

    def extensions(self, name: str) -> list[str]:
        """Return the extensions of all members that belong to a sample, by reading the tar.

        Raises:
            KarslError: See `index`.
        """
        tar = self.cache.get(name)
        return sorted({e for member, _ in iter_tar(tar) for sample in group_samples([member], tar).values() for e in sample})

    def fetch_tar(self, name: str, path: Path) -> None:
        """Make a tar available at the path that `index` returned.

        Raises:
            FetchError: If it cannot be downloaded.
            CorruptRecordError: If it does not match its index.
        """
        if path == self.cache.path(self._copy_url(name)):
            self._fetch_copy(name)
        elif is_remote(name) and not self.cache.has(name):
            index = self._remote_index(name)
            if index is None:
                self.cache.get(name)
            else:
                self.cache.get(name, check=lambda part: _check_download(name, part, index), size=index.size)

    def paths(self, name: str) -> tuple[Path, Path]:
        """Return the two paths at which a tar may be mapped, its own and its copy's; `index` decides between them."""
        return self._cached_path(name) if is_remote(name) else Path(name), self.cache.path(self._copy_url(name))

    def fetch_ranges(self, name: str, spans: Sequence[Span]) -> None:
        """Download some clips of a remote tar, with `fetch='ranges'`.

        Raises:
            FetchError: If they cannot be downloaded.
            CorruptRecordError: If they do not match the index.
        """
        if name not in self._sizes:
            self._sizes[name] = self.index(name, clips=False)[1].size
        path = self._cached_path(name)
        if fetch_ranges_sparse(name, path, self._sizes[name], spans, retry=self.cache.retry):
            self.cache.evict(exclude=(path,))

    def _cached_path(self, name: str) -> Path:
        path = self.cache.path(name)
        return path if self.fetch == "whole" else path.with_name(path.name + SPARSE)

    def _remote_index(self, name: str, *, clips: bool = False) -> TarIndex | None:
        """Return the index next to a remote tar, updated at the first request."""
        url = _index_url(name)
        if url not in self._has_index:
            fetched = fetch_optional(url, self.cache)
            self._has_index[url] = fetched is not None
            if fetched is not None and fetched[1] and fetched[1] != fetched[0].read_bytes():
                self.cache.drop(name)
        if not self._has_index[url]:
            return None
        with self.cache.drop_if_unreadable(url):
            return TarIndex.read(self.cache.get(url), clips=clips)

    def _load_index(self, tar: Path, member: str | None, clips: bool) -> TarIndex:
        return load_index(tar, cache=self.cache.folder / "indexes", member=member, nonfinite=self.nonfinite, clips=clips)

    def _copy_url(self, name: str) -> str:
        """Return the URL under which the mappable copy of a tar is cached; it changes with a local tar."""
        state = ""
        if not is_remote(name):
            name = str(Path(name).absolute())
            with suppress(OSError):
                stat = Path(name).stat()
                state = f"{stat.st_size} {stat.st_mtime_ns}"
        options = xxh3_64_hexdigest(f"{self.member} {self.nonfinite} {state}".encode())
        return f"unpacked://{options}/{name}.tar"

    def _fetch_copy(self, name: str) -> Path:
        def repack(url: str, part: Path) -> None:
            with self.cache.drop_if_unreadable(name):
                repack_tar(self.cache.get(name), part, member=self.member, nonfinite=self.nonfinite)

        return self.cache.get(self._copy_url(name), fetch=repack)


def shard_names(patterns: str | Path | Iterable[str | Path]) -> list[str]:
    """Expand patterns to the paths and URLs of shards, in order.

    Args:
        patterns: Paths or URLs with braces (`clips-{000000..000012}.tar`, `{a,b}.tar`), local ones also with `*`; a local
            folder stands for its tars.

    Raises:
        DatasetNotFoundError: If a local shard does not exist.
        ConfigError: See `expand_braces`; or a shard is named twice.
    """
    listed = [patterns] if isinstance(patterns, (str, Path)) else list(patterns)
    names: list[str] = []
    for pattern in (name for p in listed for name in expand_braces(str(p))):
        if is_remote(pattern):
            names.append(pattern)
            continue
        path = Path(local_path(pattern))
        found = list_tars(path) if path.is_dir() else sorted(glob(str(path))) if has_magic(str(path)) else [str(path)]
        if not found or not all(Path(p).is_file() for p in found):
            raise DatasetNotFoundError(f"no shard {str(path)!r}; expected a tar, a folder of tars or clips-{{00..12}}.tar")
        names += found
    twice = next((n for n in names if names.count(n) > 1), None) if len(set(names)) < len(names) else None
    if twice or not names:
        raise ConfigError(f"shard {twice!r} is named twice; name each once" if twice else "no shards are named")
    return names


def expand_braces(pattern: str) -> list[str]:
    """Expand braces as a shell does; they can be nested.

    Raises:
        ConfigError: If a brace is not closed, a range is descending, or there are more than 100,000 names.

    Example:
        >>> expand_braces("x-{08..10}.{tar,idx}")
        ['x-08.tar', 'x-08.idx', 'x-09.tar', 'x-09.idx', 'x-10.tar', 'x-10.idx']
    """
    names = list(islice(_expand(pattern), _MAX_NAMES + 1))
    if len(names) > _MAX_NAMES:
        raise ConfigError(f"{shorten(pattern)} stands for more than {_MAX_NAMES:,} names; is a number too long?")
    return names


def _expand(pattern: str) -> Iterator[str]:
    match = _BRACES.search(pattern)
    if match is None:
        if "{" in pattern or "}" in pattern:
            raise ConfigError(f"{pattern!r}: a brace is not closed; write clips-{{000000..000012}}.tar or {{a,b}}.tar")
        yield pattern
        return
    numbers = _NUMBERS.fullmatch(match[1])
    alternatives: Iterable[str] = match[1].split(",")
    if numbers:
        first, last = int(numbers[1]), int(numbers[2])
        if first > last:
            raise ConfigError(f"{pattern!r}: {match[0]} runs backwards; put the smaller number first")
        alternatives = (f"{number:0{len(numbers[1])}d}" for number in range(first, last + 1))
    head, tail = pattern[: match.start()], pattern[match.end() :]
    for alternative in alternatives:
        yield from _expand(f"{head}{alternative}{tail}")


def is_tar_name(name: str) -> bool:
    """Return True if a path or URL has the suffix of a tar, compressed or not.

    Example:
        >>> [is_tar_name(name) for name in ("a.tar", "a.tar.gz", "http://x/a.tgz?key=1", "a.tar.md5", "a.tar.index")]
        [True, True, True, False, False]
    """
    return _TAR.search(name.partition("?")[0]) is not None


def list_tars(folder: Path) -> list[str]:
    """Return the paths of the tars in a local folder, sorted by name."""
    return sorted(str(path) for path in folder.iterdir() if _TAR.search(path.name))


def read_manifest(folder: str, cache: FileCache) -> dict:
    """Read `metainfo` and `tars` from the `tars.json` of a folder, local or remote; empty if there is none.

    Raises:
        AnnotationError: If it is damaged.
    """
    url = f"{folder.rstrip('/')}/{TARS}"
    fetched = fetch_optional(url, cache) if is_remote(folder) else None
    with cache.drop_if_unreadable(url):
        return read_tars(fetched[0] if fetched else Path(url))


def fetch_optional(url: str, cache: FileCache) -> tuple[Path, bytes] | None:
    """Return a small remote file and its previous content, see `FileCache.revalidate`; None if it does not exist.

    Raises:
        FetchError: If the server does not say whether it exists.
    """
    try:
        return cache.revalidate(url)
    except FetchError as error:
        cause = error.__cause__
        if isinstance(cause, FileNotFoundError) or (isinstance(cause, HTTPError) and cause.code in _ABSENT_STATUS):
            return None
        raise


def _index_url(name: str) -> str:
    path, mark, query = name.partition("?")
    return f"{path}{SUFFIX}{mark}{query}"


def _check_download(name: str, part: Path, index: TarIndex) -> None:
    size = part.stat().st_size
    if size != index.size or file_xxh3(part) != index.xxh3:
        raise CorruptRecordError(
            f"{name}: the download has {size} bytes, its index {index.size}, or the checksum differs; upload both again"
        )
