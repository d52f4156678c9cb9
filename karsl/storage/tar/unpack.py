"""Tars that cannot be mapped - compressed, or with clips in another form - written anew as one that can."""

from __future__ import annotations

import tarfile
from pathlib import Path

from karsl.errors import CorruptRecordError
from karsl.storage.atomic import atomic_path
from karsl.storage.record import canonical_clip, shape_problem
from karsl.storage.tar.facts import read_facts
from karsl.storage.tar.members import clip_extension, group_samples, read_array, stream_tar
from karsl.storage.tar.write import add_sample


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
    count, points, key = 0, 0, None
    sample: dict[str, bytes] = {}
    with atomic_path(out) as part, tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as archive:
        seen: set[str] = set()

        def finish() -> None:
            nonlocal count, points
            where = f"{path}: sample {key!r}"
            extension = clip_extension(sample, member, where)
            if key is None or extension is None:
                return
            if key in seen:
                raise CorruptRecordError(f"{where} comes twice; the members of a sample must follow one another")
            seen.add(key)
            raw = read_array(sample[extension], extension, where)
            problem = shape_problem(raw.shape, raw.dtype, points or (raw.shape[1] if raw.ndim == 3 else 0))
            if problem:
                raise CorruptRecordError(f"{where} {problem}; is it a clip?")
            points, count = raw.shape[1], count + 1
            clip = canonical_clip(raw, where=where, nonfinite=nonfinite)
            add_sample(archive, key, clip, read_facts(sample, where))

        for info, content in stream_tar(path):
            found = next(iter(group_samples([info], path).items()), None)
            if found is None:
                continue
            if found[0] != key:
                finish()
                key, sample = found[0], {}
            sample[next(iter(found[1]))] = content
        finish()
    return count
