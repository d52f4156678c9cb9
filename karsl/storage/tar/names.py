"""Names of many shards in one: `clips-{000000..000012}.tar`, `{a,b}`, `*` on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterable
from glob import glob, has_magic
from pathlib import Path

from karsl.errors import ConfigError, DatasetNotFoundError
from karsl.storage.fetch.download import is_remote

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_TAR = re.compile(r"\.(tar(\.(gz|bz2|xz|zst))?|tgz)$")


def expand_braces(pattern: str) -> list[str]:
    """Every name that a pattern with braces stands for, as a shell gives them; braces may stand inside braces.

    Raises:
        ConfigError: A brace is not closed, or a range runs backwards.

    Example:
        >>> expand_braces("x-{08..10}.{tar,idx}")
        ['x-08.tar', 'x-08.idx', 'x-09.tar', 'x-09.idx', 'x-10.tar', 'x-10.idx']
    """
    found = next(iter(sorted(_BRACES.finditer(pattern), key=lambda m: m.start())), None)
    if found is None:
        if "{" in pattern or "}" in pattern:
            raise ConfigError(f"{pattern!r}: a brace is not closed; write clips-{{000000..000012}}.tar or {{a,b}}.tar")
        return [pattern]
    span = _RANGE.fullmatch(found[1])
    if span:
        first, last = int(span[1]), int(span[2])
        if first > last:
            raise ConfigError(f"{pattern!r}: {found[0]} runs backwards; put the smaller number first")
        parts = [f"{number:0{len(span[1])}d}" for number in range(first, last + 1)]
    else:
        parts = found[1].split(",")
    head, tail = pattern[: found.start()], pattern[found.end() :]
    return [name for part in parts for name in expand_braces(f"{head}{part}{tail}")]


def is_tar_name(name: str) -> bool:
    """Whether a path or URL ends as a tar does, compressed or not.

    Example:
        >>> [is_tar_name(name) for name in ("a.tar", "a.tar.gz", "http://x/a.tgz?key=1", "a.tar.md5", "a.tar.index")]
        [True, True, True, False, False]
    """
    return _TAR.search(name.partition("?")[0]) is not None


def tars_of(folder: Path) -> list[str]:
    """The tars in a folder of this machine, in order of their names."""
    return sorted(str(path) for path in folder.iterdir() if _TAR.search(path.name))


def shard_names(given: str | Path | Iterable[str | Path]) -> list[str]:
    """Paths and URLs of shards, in order: patterns with braces, `*` and folders (their tars) written out.

    Raises:
        DatasetNotFoundError: Nothing of that name on this machine.
        ConfigError: See `expand_braces`; a shard named twice.
    """
    patterns = [given] if isinstance(given, (str, Path)) else list(given)
    names: list[str] = []
    for pattern in (name for p in patterns for name in expand_braces(str(p))):
        if is_remote(pattern):
            names.append(pattern)
            continue
        path = Path(pattern.removeprefix("file://"))
        found = tars_of(path) if path.is_dir() else sorted(glob(str(path))) if has_magic(str(path)) else [str(path)]
        if not found or not all(Path(p).is_file() for p in found):
            raise DatasetNotFoundError(
                f"no shard {str(path)!r}; expected a tar, a folder of tars or clips-{{000000..000012}}.tar"
            )
        names += found
    twice = next((n for n in names if names.count(n) > 1), None) if len(set(names)) < len(names) else None
    if twice or not names:
        raise ConfigError(f"shard {twice!r} is named twice; name each once" if twice else "no shards are named")
    return names
