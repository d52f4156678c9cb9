"""Checksums of file contents and fingerprints of file states."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from operator import attrgetter
from pathlib import Path

import msgpack
from xxhash import xxh3_64, xxh3_64_hexdigest, xxh3_128

from karsl.io.atomic import atomic_path
from karsl.io.file_list import is_loop
from karsl.io.shared_file import SharedFile, read_at

RACY_NS = 2_000_000_000
"""Age below which a timestamp proves nothing: a file can change twice within one clock tick (git's "racy" entries)."""
_CHUNK_BYTES = 1 << 22


def file_xxh3(path: Path, *, bits: int = 64) -> str:
    """Return the xxh3 of a file's content in hex, of 64 or 128 bits.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a"
        >>> path.write_bytes(b"sign")
        4
        >>> file_xxh3(path) == xxh3_64(b"sign").hexdigest(), len(file_xxh3(path, bits=128))
        (True, 32)
    """
    digest = xxh3_128() if bits == 128 else xxh3_64()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def fingerprint_files(root: Path, names: Iterable[str]) -> str:
    """Return a fingerprint of the names, sizes and times of some files below a folder; absent files are ignored.

    Example:
        >>> fingerprint_files(Path("nowhere"), ["a"]) == fingerprint_files(Path("nowhere"), [])
        True
    """
    digest = xxh3_64()
    for name in sorted(set(names)):
        try:
            stat = os.stat(os.path.join(root, name))
        except OSError:
            continue  # reading the file raises the error
        digest.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def list_files(path: Path) -> list[str]:
    """Return the relative paths of all files below a folder; for a file, its name."""
    if not path.is_dir():
        return [path.name]
    return [os.path.relpath(os.path.join(folder, name), path) for folder, _, names in os.walk(path) for name in names]


def file_stats(path: str | Path, stat_cache: Path | None = None) -> tuple:
    """Return a tuple that identifies the content of a file or the listing of a folder.

    Args:
        path: A file gives its absolute path, size and the xxh3 of its content; a folder gives a hash over the names, sizes
            and times of everything below it.
        stat_cache: Private folder in which the hashes of unchanged files are stored.

    Raises:
        OSError: If the path cannot be read.
    """
    path = Path(path).absolute()
    stat = path.stat()
    if path.is_dir():
        content = msgpack.packb(_list_folder(path), unicode_errors="surrogatepass")
        listing = hashlib.blake2b(content, digest_size=16)
        return "folder", str(path), listing.hexdigest()
    return "file", str(path), stat.st_size, _content_hash(path, stat, stat_cache)


def _list_folder(folder: Path) -> list[tuple]:
    """Return name, size and time of everything below a folder. A start of a large data set waits for this."""
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=attrgetter("name"))
    found: list[tuple] = []
    for entry in ordered:
        if entry.is_dir():
            found.append((entry.name, [] if is_loop(entry, folder) else _list_folder(Path(entry.path))))
        else:
            is_target = not entry.is_symlink() or os.path.exists(entry.path)  # a link without a target is listed itself
            stat = entry.stat() if is_target else entry.stat(follow_symlinks=False)
            found.append((entry.name, stat.st_size, stat.st_mtime_ns))
    return found


def _content_hash(path: Path, stat: os.stat_result, stat_cache: Path | None) -> str:
    state = [str(path), stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    entry = None if stat_cache is None else stat_cache / f"{xxh3_64_hexdigest(os.fsencode(path))}.facts"
    if entry is not None:
        # no entry, a damaged one, or one that others could write (IndexFileError, a ValueError): hash the content again
        with suppress(OSError, ValueError, TypeError):
            file = SharedFile.open(entry)  # checks the owner; closed with the object
            cached_state, cached_hash = json.loads(read_at(file.fd, 1 << 16, 0))
            if cached_state == state and isinstance(cached_hash, str):
                return cached_hash
    content = file_xxh3(path, bits=128)
    settled = time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > RACY_NS
    if entry is not None and settled:
        with suppress(OSError), atomic_path(entry) as temp:  # read-only or full: the next run hashes the content again
            temp.touch(0o600)
            temp.write_text(json.dumps([state, content]), encoding="utf-8")
    return content
