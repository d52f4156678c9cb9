"""Tars that cannot be mapped - compressed, or with clips in another form - written anew as one that can."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from karsl.errors import CorruptRecordError
from karsl.storage.atomic import atomic_path
from karsl.storage.record import canonical_clip, shape_problem
from karsl.storage.tar.facts import read_facts
from karsl.storage.tar.members import clip_extension, group_samples, read_array, stream_tar
from karsl.storage.tar.write import add_sample

_FACTS = frozenset(("json", "cls"))


def unpack_tar(path: str | Path, out: Path, *, member: str | None = None, nonfinite: str = "raise") -> int:
    """Write the clips of any tar as an uncompressed one of canonical float32 clips.

    The archive is read once, from front to back; one sample is in memory at a time, as WebDataset writes them: the
    members of a sample follow one another.

    Args:
        path: Any tar.
        out: The new one; there when all of it is written.
        member: Extension of the clips; None takes the only array of a sample.
        nonfinite: `'raise'`, or `'missing'` where NaN stands for a missing point.

    Returns:
        How many clips.

    Raises:
        CorruptRecordError: The archive or a clip is damaged; the text names the member.
    """
    points = count = 0
    seen: set[str] = set()
    with atomic_path(out) as part, tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as archive:
        for key, sample in _samples(path):
            where = f"{path}: sample {key!r}"
            extension = clip_extension(sample, member, where)
            if extension is None and _FACTS.isdisjoint(sample):
                continue
            if key in seen:
                raise CorruptRecordError(
                    f"{where} comes twice; the members of a sample must follow one another, write the tar sorted by name"
                )
            seen.add(key)
            if extension is None:
                continue
            raw = _read_clip(sample[extension], extension, points, where)
            points = raw.shape[1]
            add_sample(archive, key, canonical_clip(raw, where=where, nonfinite=nonfinite), read_facts(sample, where))
            count += 1
    return count


def _samples(path: str | Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Key and members, by extension, of each run of members of one sample."""
    key = ""
    sample: dict[str, bytes] = {}
    for info, content in stream_tar(path):
        for name, members in group_samples([info], path).items():  # one, or none for a file that is no member
            if name != key and sample:
                yield key, sample
                sample = {}
            key = name
            sample[next(iter(members))] = content
    if sample:
        yield key, sample


def _read_clip(content: bytes, extension: str, points: int, where: str) -> np.ndarray:
    """The array of a clip of as many points as those before it, if there were any."""
    raw = read_array(content, extension, where)
    problem = shape_problem(raw.shape, raw.dtype, points or (raw.shape[1] if raw.ndim == 3 else 0))
    if problem:
        raise CorruptRecordError(f"{where} {problem}; is it a clip?")
    return raw
