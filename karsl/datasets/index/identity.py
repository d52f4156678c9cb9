"""Everything of a dataset that shapes its records, as one fingerprint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import mmengine

from karsl.datasets.index.code_facts import code_facts, package_facts
from karsl.datasets.index.fingerprint import fingerprint
from karsl.io.hashing import file_stats

PARSING = ("load_data_list", "parse_data_info", "filter_data")
_PATH_CHARS = 4096


def index_identity(
    dataset: Any, *, ignore: Iterable[str], folders: Sequence[str | Path] = (), memory: Path | None = None
) -> str | None:
    """Fingerprint of a dataset that is not initialised yet, or None when that cannot be told.

    Into it go the class, the code of its parsing methods, all attributes but `ignore`, the content of every file that an
    attribute names, and names, sizes and times of all below `folders`. A dataset whose parsing reads files that no
    attribute names lists them in a method `index_inputs() -> list of paths`.

    Args:
        dataset: Its attributes are read, nothing is called but `index_inputs`.
        ignore: Attributes that do not shape records (pipeline, counters, ...).
        folders: Scanned by `load_data_list`; give them when there is no annotation file.
        memory: Private folder where hashes of unchanged files are remembered.
    """
    code = code_facts(dataset, PARSING)
    if code is None:
        return None
    ignore = frozenset(ignore)
    state = {name: value for name, value in vars(dataset).items() if name not in ignore}
    inputs: Iterable = getattr(dataset, "index_inputs", list)()
    files = sorted({*_named_files(state), *(Path(path).absolute() for path in inputs)})
    try:
        facts = [file_stats(path, memory) for path in [*files, *folders]]
    except OSError:
        return None
    cls = type(dataset)
    return fingerprint(cls.__module__, cls.__qualname__, mmengine.__version__, package_facts(), code, state, facts)


def _named_files(value: Any) -> Iterator[Path]:
    """Existing files that a string or path inside `value` names."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _named_files(item)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _named_files(item)
    elif isinstance(value, (str, Path)) and 0 < len(str(value)) < _PATH_CHARS:
        with suppress(OSError, ValueError):  # ValueError: a NUL in the string
            path = Path(value).absolute()
            if path.is_file():
                yield path
