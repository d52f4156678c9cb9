"""Tars by name, wherever they lie: what is in each, and bringing it to where it can be mapped."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError

from xxhash import xxh3_64_hexdigest

from karsl.errors import ConfigError, CorruptRecordError, FetchError
from karsl.storage.fetch.cache import SPARSE, FileCache
from karsl.storage.fetch.download import is_remote
from karsl.storage.fetch.sparse import Span, bring_spans
from karsl.storage.stamp import file_xxh3
from karsl.storage.tar.index import SUFFIX, TarIndex, index_files, load_index
from karsl.storage.tar.members import group_samples, is_compressed, stream_tar
from karsl.storage.tar.unpack import unpack_tar
from karsl.storage.tar.write import TARS, read_tars

_ABSENT = (403, 404, 410)


@dataclass(frozen=True)
class TarShards:
    """The tars of a dataset.

    A local tar of clips in our form is mapped where it lies. One from elsewhere comes through the cache, and so does the
    mappable copy of one that is compressed or has clips in another form. An index that lies beside a remote tar spares the
    tar's transfer until its clips are read.

    Args:
        names: Paths and URLs.
        cache: For what does not lie here as it is needed.
        member: Extension of the clips in a sample; None takes the only array.
        nonfinite: `'raise'`, or `'missing'` where NaN stands for a missing point.
        fetch: `'whole'` tars, or `'ranges'`: of a tar elsewhere with an index beside it only the clips that are read.
    """

    names: tuple[str, ...]
    cache: FileCache
    member: str | None = None
    nonfinite: str = "raise"
    fetch: str = "whole"
    _sizes: dict[str, int] = field(default_factory=dict, compare=False)
    _asked: dict[str, bool] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if self.fetch not in ("whole", "ranges"):
            raise ConfigError(f"fetch={self.fetch!r} of tars; expected 'whole' or 'ranges'")

    def index(self, name: str, *, clips: bool = True) -> tuple[Path, TarIndex]:
        """Where a tar can be mapped, here now or to be brought, and what is in it.

        Args:
            name: Of the tar.
            clips: False where those of the index are not needed.

        Raises:
            FetchError: It cannot be had.
            CorruptRecordError: It is damaged.
        """
        if is_remote(name):
            told = self._index_beside(name, clips=clips)
            if told is not None and told.mapped and self.member is None:
                return self._here(name), told
            if self.fetch == "ranges":
                raise ConfigError(
                    f"{name}: fetch='ranges' needs an index beside the tar, as karsl writes it; take fetch='whole'"
                )
        with self.cache.reading(name):
            tar = self.cache.get(name)
            if not is_compressed(tar):
                index = self._load(tar, clips=clips)
                if index.mapped:
                    return tar, index
        copy = self._bring_copy(name)
        return copy, self._load(copy, member=None, clips=clips)

    def index_file(self, name: str) -> Path:
        """The file that `index` reads, which changes with the tar.

        Raises:
            KarslError: See `index`.
        """
        path, _ = self.index(name, clips=False)
        if is_remote(name) and path == self._here(name):
            beside = self.cache.path(_with_suffix(name))
            if beside.is_file():
                return beside
        member = None if path == self.cache.path(self._copy(name)) else self.member
        files = index_files(path, cache=self.cache.folder / "indexes", member=member, nonfinite=self.nonfinite)
        return next(file for file in files if file.is_file())

    def extensions(self, name: str) -> list[str]:
        """Of all members that belong to a sample; the tar is read for it.

        Raises:
            KarslError: See `index`.
        """
        tar = self.cache.get(name)
        return sorted({e for member, _ in stream_tar(tar) for of in group_samples([member], tar).values() for e in of})

    def bring(self, name: str, path: Path) -> None:
        """Have a tar at the path that `index` gave.

        Raises:
            FetchError: It cannot be had.
            CorruptRecordError: What came is not what its index says.
        """
        if path == self.cache.path(self._copy(name)):
            self._bring_copy(name)
        elif is_remote(name) and not self.cache.has(name):
            told = self._index_beside(name)
            self.cache.get(name, check=None if told is None else lambda part: _check(name, part, told))

    def paths(self, name: str) -> tuple[Path, Path]:
        """Where the clips of a tar may be mapped: where it comes to lie itself, or its copy; `index` says which."""
        return self._here(name) if is_remote(name) else Path(name), self.cache.path(self._copy(name))

    def bring_spans(self, name: str, spans: Sequence[Span]) -> None:
        """Have some clips of a tar elsewhere, with `fetch='ranges'`.

        Raises:
            FetchError: They cannot be had.
            CorruptRecordError: What came is not what the index says.
        """
        if name not in self._sizes:
            self._sizes[name] = self.index(name, clips=False)[1].size
        if bring_spans(name, self._here(name), self._sizes[name], spans, retry=self.cache.retry):
            self.cache.shrink(keep=(self._here(name),))

    def _here(self, name: str) -> Path:
        path = self.cache.path(name)
        return path if self.fetch == "whole" else path.with_name(path.name + SPARSE)

    def _index_beside(self, name: str, *, clips: bool = False) -> TarIndex | None:
        """The index beside a tar elsewhere, as it is there when it is first asked for."""
        url = _with_suffix(name)
        if url not in self._asked:
            found = fetch_if_there(url, self.cache)
            self._asked[url] = found is not None
            if found is not None and found[1] and found[1] != found[0].read_bytes():
                self.cache.drop(name)
        if not self._asked[url]:
            return None
        with self.cache.reading(url):
            return TarIndex.read(self.cache.get(url), clips=clips)

    def _load(self, tar: Path, *, member: str | None = "", clips: bool) -> TarIndex:
        folder, member = self.cache.folder / "indexes", self.member if member == "" else member
        return load_index(tar, cache=folder, member=member, nonfinite=self.nonfinite, clips=clips)

    def _copy(self, name: str) -> str:
        """The cache's name for a mappable copy of a tar, another where a local tar has changed."""
        state = ""
        if not is_remote(name):
            name = str(Path(name).absolute())
            with suppress(OSError):
                told = Path(name).stat()
                state = f"{told.st_size} {told.st_mtime_ns}"
        form = xxh3_64_hexdigest(f"{self.member} {self.nonfinite} {state}".encode())
        return f"unpacked://{form}/{name}.tar"

    def _bring_copy(self, name: str) -> Path:
        def unpack(url: str, part: Path) -> None:
            with self.cache.reading(name):
                unpack_tar(self.cache.get(name), part, member=self.member, nonfinite=self.nonfinite)

        return self.cache.get(self._copy(name), fetch=unpack)


def fetch_if_there(url: str, cache: FileCache) -> tuple[Path, bytes] | None:
    """A small file elsewhere as it is now, and what it was here before; None if there is none.

    Raises:
        FetchError: Nobody says.
    """
    try:
        return cache.fresh(url)
    except FetchError as error:
        cause = error.__cause__
        if isinstance(cause, FileNotFoundError) or (isinstance(cause, HTTPError) and cause.code in _ABSENT):
            return None
        raise


def told_by(place: str, cache: FileCache) -> dict:
    """What `tars.json` in a folder says, here or elsewhere: `metainfo`, `tars`; nothing where there is none.

    Raises:
        AnnotationError: It is damaged.
    """
    url = f"{place.rstrip('/')}/{TARS}"
    found = fetch_if_there(url, cache) if is_remote(place) else None
    with cache.reading(url):
        return read_tars(found[0] if found else Path(url))


def _with_suffix(name: str) -> str:
    head, mark, query = name.partition("?")
    return f"{head}{SUFFIX}{mark}{query}"


def _check(name: str, part: Path, told: TarIndex) -> None:
    size = part.stat().st_size
    if size != told.size or file_xxh3(part) != told.xxh3:
        raise CorruptRecordError(
            f"{name}: what came, {size} bytes, is not what its index says, {told.size} bytes, the checksum differs; copy "
            "the tar to the server again, with its index"
        )
