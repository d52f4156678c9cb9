"""Errors of karsl. Each also subclasses the built-in that a caller would catch without knowing karsl."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

DISK_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
"""What the system says where there is no room for a file."""


class KarslError(Exception):
    """Anything that karsl says is wrong with an input; its text is one sentence with a remedy."""


class DatasetNotFoundError(KarslError, FileNotFoundError):
    """A data root, split or annotation file is not where the config says."""


class CorruptRecordError(KarslError, ValueError):
    """A clip's file exists but does not hold what the index promises."""


class AnnotationError(KarslError, ValueError):
    """An annotation file or label sheet is not in its format."""


class SkeletonError(KarslError, ValueError):
    """A keypoint, group or mirror that a skeleton does not have."""


class ConfigError(KarslError, ValueError):
    """A config or command-line value that cannot be used."""


class TransformError(KarslError, RuntimeError):
    """A transform failed on a clip; the text names both and the cause is chained."""


class PackError(KarslError, OSError):
    """A pack that cannot be made, changed or trusted: held by another process, disk full, damaged."""


class IndexFileError(KarslError, ValueError):
    """An index file is torn, damaged, of another format or of other inputs."""


class UnsafeRecord(KarslError, TypeError):
    """A record holds something that the safe codec cannot give back exactly."""


class BatchLostError(KarslError, RuntimeError):
    """A worker announced a batch that cannot be reached any more."""


class FetchError(KarslError, OSError):
    """A file elsewhere cannot be had; the text names it, the byte, and what to do."""


class RemoteError(KarslError, RuntimeError):
    """Actors of a Ray cluster die faster than they answer."""


class ProbeError(KarslError, RuntimeError):
    """A measurement of memory cannot be made."""


class BenchError(KarslError, RuntimeError):
    """A way of the benchmark does not give what it must, or did not finish."""


class MissingExtraError(KarslError, ImportError):
    """A heavy library is absent; the text names the extra that brings it."""


class DataProblems(KarslError, ValueError):
    """Every problem of a scan, raised once.

    Args:
        where: What was scanned, for the headline.
        problems: One sentence per problem.
        remedy: What to do about all of them, for the last line.

    Example:
        >>> print(DataProblems("data/karsl", ["01-test/0001.npz: empty file"]))
        1 problem in data/karsl:
          01-test/0001.npz: empty file
    """

    def __init__(self, where: str, problems: Sequence[str], remedy: str = "") -> None:
        self.where, self.problems, self.remedy = where, tuple(problems), remedy
        noun = "problem" if len(self.problems) == 1 else "problems"
        lines = [f"{len(self.problems)} {noun} in {where}:", *(f"  {p}" for p in self.problems)]
        super().__init__("\n".join(lines + [remedy] * bool(remedy)))

    def __reduce__(self) -> tuple:
        return type(self), (self.where, self.problems, self.remedy)


def first_line(error: Exception) -> str:
    """What another library's error says, short enough to stand in a sentence.

    Example:
        >>> first_line(ValueError("no such key.\\nHint: ..."))
        'no such key'
    """
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


def missing_extra(extra: str, library: str) -> MissingExtraError:
    """Say which extra brings an absent library.

    Example:
        >>> missing_extra("viz", "Pillow")
        MissingExtraError("Pillow is not installed; pip install 'karsl[viz]' brings it")
    """
    return MissingExtraError(f"{library} is not installed; pip install 'karsl[{extra}]' brings it")


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Suggest what a mistyped word may have been.

    Args:
        otherwise: What to say where nothing is near.

    Returns:
        A clause to append to an error, or an empty string.

    Example:
        >>> did_you_mean("trian", ["train", "test"])
        "; did you mean 'train'?"
        >>> did_you_mean("xyz", ["train", "test"]), did_you_mean("xyz", ["a"], "there is a")
        ('', '; there is a')
    """
    near = get_close_matches(word, sorted(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; {otherwise}" * bool(otherwise)
