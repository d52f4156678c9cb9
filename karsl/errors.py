"""Errors of karsl. Each also derives from the built-in exception that a caller would catch without knowing karsl."""

from __future__ import annotations

import errno
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

_VARIABLE = re.compile(r"'[^']*'|\d+")

DISK_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
"""Error numbers of a write that found no space: full disk, file size limit, quota."""

SHARED_MEMORY_REMEDY = "enlarge /dev/shm (of a container: docker run --shm-size=2g), or use num_workers=0, which needs none"
"""Remedy of every error about shared memory."""


class KarslError(Exception):
    """Base class. The text is one sentence that names what is wrong and what to do about it."""


class DatasetNotFoundError(KarslError, FileNotFoundError):
    """A data root, split or annotation file does not exist where the config says."""


class CorruptRecordError(KarslError, ValueError):
    """The file of a clip exists but does not contain what the index promises."""


class AnnotationError(KarslError, ValueError):
    """An annotation file or label table is not in its format."""


class AnnotationTypeError(AnnotationError, TypeError):
    """An annotation file is no dict, for which MMEngine raises a TypeError."""


class SkeletonError(KarslError, ValueError):
    """A skeleton is unknown, or lacks a keypoint, group or mirror that is asked for."""


class ConfigError(KarslError, ValueError):
    """A config or command-line value that cannot be used."""


class TransformError(KarslError, RuntimeError):
    """A transform failed on a clip. The text names both, and the cause is chained."""


class PackError(KarslError, OSError):
    """A pack cannot be written, changed or trusted: locked by another process, disk full, damaged."""


class IndexFileError(KarslError, ValueError):
    """An index file is incomplete, damaged, of another format or of other inputs."""


class UnsafeRecordError(KarslError, TypeError):
    """A record contains a value that the safe codec cannot restore exactly."""


class BatchLostError(KarslError, RuntimeError):
    """A batch that a worker sent can no longer be reached."""


class FetchError(KarslError, OSError):
    """A remote file cannot be downloaded. The text names the file, the byte, and what to do."""


class RemoteError(KarslError, RuntimeError):
    """Actors of a Ray cluster die faster than they answer."""


class ProbeError(KarslError, RuntimeError):
    """A memory measurement cannot be made."""


class MissingExtraError(KarslError, ImportError):
    """An optional library is not installed. The text names the extra that installs it."""


class DataErrors(KarslError, ValueError):
    """All problems of a scan, raised once.

    Args:
        where: What was scanned, for the first line.
        problems: One sentence per problem.
        remedy: What to do about all of them, for the last line.

    Example:
        >>> print(DataErrors("data/karsl", ["01-test/0001.npz: empty file"]))
        1 problem in data/karsl:
          01-test/0001.npz: empty file
    """

    def __init__(self, where: str, problems: Sequence[str], remedy: str = "") -> None:
        self.where, self.problems, self.remedy = where, tuple(problems), remedy
        lines = [f"{pluralize(len(self.problems), 'problem')} in {where}:", *(f"  {p}" for p in join_similar(self.problems))]
        super().__init__("\n".join(lines + [remedy] * bool(remedy)))

    def __reduce__(self) -> tuple:
        return type(self), (self.where, self.problems, self.remedy)


def join_similar(problems: Sequence[str], *, most: int = 5) -> list[str]:
    """Return some problems of each kind, and a line with the number of the others.

    Problems are of one kind if they differ only in names in quotes, in numbers, and in the file before the first colon.

    Example:
        >>> join_similar([f"{n}.npz: clip 'c' has {n} points" for n in range(1, 4)] + ["9.npz: damaged"], most=1)
        ["1.npz: clip 'c' has 1 points", '... and 2 more of this kind', '9.npz: damaged']
    """
    kinds = [_VARIABLE.sub("", problem.partition(": ")[2] or problem) for problem in problems]
    total, seen = Counter(kinds), Counter[str]()
    lines: list[str] = []
    for problem, kind in zip(problems, kinds, strict=True):
        seen[kind] += 1
        if seen[kind] <= most or total[kind] == most + 1:
            lines.append(problem)
        elif seen[kind] == most + 1:
            lines.append(f"... and {total[kind] - most} more of this kind")
    return lines


def with_context(error: Exception, where: str) -> KarslError:
    """Return the same error with `where` before its text. An error of another library becomes a ConfigError.

    Example:
        >>> with_context(KeyError("label"), "ConcatDataset: datasets[1] (KArSLDataset)")
        ConfigError("ConcatDataset: datasets[1] (KArSLDataset): KeyError: 'label'")
    """
    if isinstance(error, DataErrors):
        return DataErrors(f"{where}: {error.where}", error.problems, error.remedy)
    if isinstance(error, KarslError):
        return type(error)(f"{where}: {error}")
    return ConfigError(f"{where}: {type(error).__name__}: {error}")


def type_name(dataset: Any) -> str:
    """Return the class name of a dataset, or the `type` of its config."""
    named = dataset.get("type", "dict") if isinstance(dataset, dict) else type(dataset)
    return named if isinstance(named, str) else named.__name__


def pluralize(number: int, noun: str, spec: str = "") -> str:
    """Return a count, formatted by `spec`, and its noun.

    Example:
        >>> pluralize(1, "clip"), pluralize(2, "class"), pluralize(1000, "batch", ",")
        ('1 clip', '2 classes', '1,000 batches')
    """
    ending = "" if number == 1 else "es" if noun.endswith(("s", "ch")) else "s"
    return f"{number:{spec}} {noun}{ending}"


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, without its full stop, to quote within a sentence.

    Example:
        >>> first_line(ValueError("no such key.\\nHint: ..."))
        'no such key'
    """
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


def missing_extra(extra: str, library: str) -> MissingExtraError:
    """Make the error for an optional library that is not installed.

    Example:
        >>> missing_extra("viz", "Pillow")
        MissingExtraError("Pillow is not installed; install it with: pip install 'karsl[viz]'")
    """
    return MissingExtraError(f"{library} is not installed; install it with: pip install 'karsl[{extra}]'")


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Suggest a correction of a misspelled word.

    Args:
        word: The word as it was given.
        known: Valid words.
        otherwise: Clause to use if no valid word is similar.

    Returns:
        A clause to append to an error, or an empty string.

    Example:
        >>> did_you_mean("trian", ["train", "test"])
        "; did you mean 'train'?"
        >>> did_you_mean("KarslDataset", ["KArSLDataset", "SliceDataset"]), did_you_mean("PoseDataset", ["SliceDataset"])
        ("; did you mean 'KArSLDataset'?", '')
        >>> did_you_mean("xyz", ["train", "test"]), did_you_mean("xyz", ["a"], "there is a")
        ('', '; there is a')
    """
    by_lower = {name.lower(): name for name in sorted(known)}
    similar = [by_lower[near] for near in get_close_matches(word.lower(), by_lower, n=5)]
    similar = [name for name in similar if _differs_little(word, name)]
    return f"; did you mean {similar[0]!r}?" if similar else f"; {otherwise}" * bool(otherwise)


def _differs_little(word: str, name: str) -> bool:
    """Compare without an ending such as `Dataset` that both have: it makes any two names of datasets similar."""
    ending = re.search("[A-Z][a-z]+$", name)
    if ending is None or not word.lower().endswith(ending[0].lower()):
        return True
    first, second = (text[: len(text) - len(ending[0])].lower() for text in (word, name))
    return bool(get_close_matches(first, [second], cutoff=0.6))
