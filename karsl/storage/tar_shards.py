"""Tars by name, wherever they lie: what is in each, and bringing it to where it can be mapped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError

from xxhash import xxh3_64, xxh3_64_hexdigest

from karsl.errors import ConfigError, CorruptRecordError
from karsl.storage.remote import RemoteError, is_remote
from karsl.storage.remote_cache import FileCache
from karsl.storage.remote_sparse import Span, bring_spans
from karsl.storage.tar_index import SUFFIX, TarIndex, index_files, load_index
from karsl.storage.tar_members import is_compressed
from karsl.storage.tar_unpack import unpack_tar

_ABSENT = (403, 404, 410)
_SPARSE = ".clips"
_CHUNK = 1 << 22


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

    def __post_init__(self) -> None:
        if self.fetch not in ("whole", "ranges"):
            raise ConfigError(f"fetch={self.fetch!r} of tars; expected 'whole' or 'ranges'")

    def index(self, name: str) -> tuple[Path, TarIndex]:
        """Where a tar can be mapped, here now or to be brought, and what is in it.

        Raises:
            RemoteError: It cannot be had.
            CorruptRecordError: It is damaged.
        """
        if is_remote(name):
            told = self._index_beside(name)
            if told is not None and told.mapped and self.member is None:
                return self._here(name), told
            if self.fetch == "ranges":
                raise ConfigError(
                    f"{name}: fetch='ranges' needs an index beside the tar, as karsl writes it; take fetch='whole'"
                )
        tar = self.cache.get(name)
        if not is_compressed(tar):
            index = self._load(tar)
            if index.mapped:
                return tar, index
        copy = self._bring_copy(name)
        return copy, self._load(copy, member=None)

    def index_file(self, name: str) -> Path:
        """The file that `index` reads, which changes with the tar.

        Raises:
            KarslError: See `index`.
        """
        path, _ = self.index(name)
        if is_remote(name) and path == self._here(name):
            head, mark, query = name.partition("?")
            beside = self.cache.path(f"{head}{SUFFIX}{mark}{query}")
            if beside.is_file():
                return beside
        member = None if path == self.cache.path(self._copy(name)) else self.member
        files = index_files(path, cache=self.cache.folder / "indexes", member=member, nonfinite=self.nonfinite)
        return next(file for file in files if file.is_file())

    def bring(self, name: str, path: Path) -> None:
        """Have a tar at the path that `index` gave.

        Raises:
            RemoteError: It cannot be had.
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
            RemoteError: They cannot be had.
            CorruptRecordError: What came is not what the index says.
        """
        if name not in self._sizes:
            self._sizes[name] = self.index(name)[1].size
        bring_spans(name, self._here(name), self._sizes[name], spans, retry=self.cache.retry)
        self.cache.shrink(keep=(self._here(name),))

    def _here(self, name: str) -> Path:
        path = self.cache.path(name)
        return path if self.fetch == "whole" else path.with_name(path.name + _SPARSE)

    def _index_beside(self, name: str) -> TarIndex | None:
        head, mark, query = name.partition("?")
        try:
            return TarIndex.read(self.cache.get(f"{head}{SUFFIX}{mark}{query}"))
        except RemoteError as error:
            cause = error.__cause__
            if isinstance(cause, FileNotFoundError) or (isinstance(cause, HTTPError) and cause.code in _ABSENT):
                return None
            raise

    def _load(self, tar: Path, *, member: str | None = "") -> TarIndex:
        folder = self.cache.folder / "indexes"
        return load_index(tar, cache=folder, member=self.member if member == "" else member, nonfinite=self.nonfinite)

    def _copy(self, name: str) -> str:
        form = xxh3_64_hexdigest(f"{self.member} {self.nonfinite}".encode())
        return f"unpacked://{form}/{name if is_remote(name) else Path(name).absolute()}.tar"

    def _bring_copy(self, name: str) -> Path:
        def unpack(url: str, part: Path) -> None:
            unpack_tar(self.cache.get(name), part, member=self.member, nonfinite=self.nonfinite)

        return self.cache.get(self._copy(name), fetch=unpack)


def _check(name: str, part: Path, told: TarIndex) -> None:
    digest, size = xxh3_64(), part.stat().st_size
    with part.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    if size != told.size or digest.hexdigest() != told.xxh3:
        raise CorruptRecordError(
            f"{name}: what came, {size} bytes, is not what its index says, {told.size} bytes, the checksum differs; copy "
            "the tar to the server again, with its index"
        )
