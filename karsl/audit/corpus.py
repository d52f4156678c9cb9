"""Audit the clips of a source in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from karsl.audit.content import check_content, is_sound
from karsl.audit.copies import find_copies
from karsl.audit.counts import check_counts
from karsl.audit.finding import Finding, make_finding
from karsl.audit.landmarks import Landmarks
from karsl.audit.measures import Measurer
from karsl.audit.metadata import check_metadata
from karsl.audit.misfiled import find_misfiled
from karsl.audit.problems import join_problems
from karsl.audit.report import AuditReport, sort_findings
from karsl.errors import CorruptRecordError, pluralize
from karsl.formats.karsl.copies import choose_copies
from karsl.io.annotations import record_splits
from karsl.io.file_index import Progress
from karsl.io.sources import ClipSource


def audit_clips(
    source: ClipSource, *, name: str = "", progress: Progress | None = None, figures: np.ndarray | None = None
) -> AuditReport:
    """Read every clip once, and report what is wrong with the clips and with the corpus.

    Clips that resemble each other are read again, to compare them. Memory does not depend on the clips, except for about
    600 bytes per clip.

    Args:
        source: Clips to audit, see `karsl.formats.open_clips`.
        name: Name of the source in the report.
        progress: `progress(records, total)` wraps the iteration over clips.
        figures: `FIGURES` of all clips, from a `Measurer`, if they were read before.

    Example:
        >>> import tempfile
        >>> from karsl.formats import open_clips
        >>> from karsl.testing import make_corpus
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = audit_clips(open_clips(make_corpus(folder, signs=2, train_clips=3, test_clips=1)))
        >>> report.findings, report.has_problems
        ([], False)
    """
    messages: dict[int, str] = {}
    if figures is None:
        figures = _measure(source, messages, progress)
    findings = list(_findings(source, figures, Landmarks(source.skeleton), messages))
    problems = join_problems([*source.problems, *messages.values()])
    return AuditReport(
        name,
        source.records,
        figures,
        sort_findings(findings),
        problems,
        list(source.notes),
        source.skeleton.name,
        messages,
    )


def _measure(source: ClipSource, messages: dict[int, str], progress: Progress | None) -> np.ndarray:
    """Return the figures of all clips, and collect by position why some cannot be read."""
    measurer = Measurer(source.skeleton)
    records = progress(source.records, len(source.records)) if progress else source.records
    for position, record in enumerate(records):
        try:
            measurer.add(position, _read(source, record))
        except (CorruptRecordError, FileNotFoundError) as error:
            messages[position] = str(error).replace(f"{getattr(source, 'root', '')}/", "")
    return measurer.figures(range(len(source.records)))


def _read(source: ClipSource, record: dict) -> np.ndarray:
    clip = source.read_stored(record)
    if not len(clip):
        raise CorruptRecordError(f"clip {record['clip_id']!r} has no frames; export it again")
    if len(clip) != record.get("num_frames", len(clip)):
        raise CorruptRecordError(
            f"clip {record['clip_id']!r} has {pluralize(len(clip), 'frame')}, its record "
            f"{record['num_frames']}; index it again"
        )
    return clip


def _findings(source: ClipSource, figures: np.ndarray, marks: Landmarks, messages: Mapping[int, str]) -> Iterator[Finding]:
    records = source.records
    if messages:
        yield make_finding("unreadable", sorted(messages))
    found = list(check_content(figures, records, marks))
    yield from found
    usable = is_sound(figures, found)
    copies = find_copies(figures, usable, lambda position: source.read_stored(records[position]), marks)
    for kind, groups in zip(("copy", "near_copy"), copies, strict=True):
        yield from _describe_copies(kind, groups, records)
    faulty = {position for finding in found if finding.is_problem for position in finding.clips}
    usable[list(faulty)] = False
    yield from find_misfiled(figures, usable, records)
    yield from check_metadata(records)
    counted = all(record_splits(r) and isinstance(r.get("sign"), int) and r.get("signer") is not None for r in records)
    if counted:
        yield from (Finding("counts", sentence=text) for text in check_counts(records))


def _describe_copies(kind: str, groups: Sequence[Sequence[int]], records: Sequence[Mapping]) -> Iterator[Finding]:
    """Yield a finding that names, for each clip that has copies, the first other one."""
    if not groups:
        return
    others = {p: group[0] if p != group[0] else group[1] for group in groups for p in group}
    keys = ("clip_id", "keypoint_path", "split")
    plain = [{**{key: str(r.get(key, "")) for key in keys}, "sign": r.get("label", r.get("sign"))} for r in records]
    left_out, _ = choose_copies(plain, groups)
    positions = sorted(others)
    details = [f"like {records[others[position]]['clip_id']}" for position in positions]
    yield Finding(kind, tuple(positions), tuple(details), tuple(sorted(left_out)))
