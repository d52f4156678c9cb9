"""Result of an audit: findings, what was not read, and statistics; as text, JSON, and a list of clips to leave out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from karsl.audit.finding import KINDS, Finding
from karsl.errors import pluralize

_MAX_SHORT = 8


@dataclass(frozen=True)
class AuditReport:
    """Result of `audit_clips`.

    Attributes:
        name: Name of what was audited.
        records: Records of the clips.
        figures: `FIGURES` of the clips; 0 frames where a clip could not be read.
        findings: Findings, in the order of `KINDS`.
        problems: One sentence per kind of file or clip that cannot be read, joined.
        notes: One sentence per kind of content that is not read.
        skeleton: Name of the skeleton.
        unreadable: Why a clip cannot be read, by its position.
    """

    name: str
    records: Sequence[Mapping]
    figures: np.ndarray
    findings: list[Finding]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skeleton: str = ""
    unreadable: Mapping[int, str] = field(default_factory=dict)

    @property
    def has_problems(self) -> bool:
        """True if anything was found that harms training or a measured accuracy."""
        return bool(self.problems) or any(finding.is_problem for finding in self.findings)

    def left_out(self) -> dict[str, str]:
        """Return the ids of the clips that should not be used, in the order of the source, each with its kind of fault."""
        kinds: dict[int, str] = {}
        for finding in self.findings:
            for position in finding.left_out:
                kinds.setdefault(position, finding.kind)
        return {str(self.records[position]["clip_id"]): kinds[position] for position in sorted(kinds)}

    def short_lines(self, *, known: Collection[str] = ()) -> Iterator[str]:
        """Yield the first findings in clips that can be read, except for kinds that are known."""
        left_out = {"counts", "unreadable", *known}
        sentences = [finding.text(self.records) for finding in self.findings if finding.kind not in left_out]
        yield from sentences[:_MAX_SHORT]
        if len(sentences) > _MAX_SHORT:
            yield f"{len(sentences) - _MAX_SHORT} more findings, see 'karsl audit'"

    def lines(self) -> Iterator[str]:
        """Yield the report as text."""
        sentences = [("problem" if f.is_problem else "note", f.text(self.records)) for f in self.findings]
        yield from self.statistics_lines()
        yield from (f"not read: {note}" for note in self.notes)
        yield from (f"problem: {problem}" for problem in self.problems)
        yield from (f"{word}: {text}" for word, text in sentences)
        counts = Counter(word for word, _ in sentences)
        total = len(self.problems) + counts["problem"]
        yield (
            f"{pluralize(total, 'kind')} of problems, {pluralize(counts['note'], 'note')}"
            if sentences or total
            else "no finding"
        )

    def statistics_lines(self) -> Iterator[str]:
        """Yield numbers of clips and frames, and shares of hands by signer."""
        frames = self.figures["num_frames"][self.figures["num_frames"] > 0]
        if not len(frames):
            yield "no clip could be read"
            return
        labels = {record.get("label", record.get("sign")) for record in self.records}
        yield (
            f"{pluralize(len(self.records), 'clip')} of {pluralize(len(labels), 'sign')}, skeleton {self.skeleton}, "
            f"{frames.min()}-{pluralize(frames.max(), 'frame')}, median {np.median(frames):g}"
        )
        for row in self.hand_shares():
            name = f"signer {row['signer']}" if row["signer"] is not None else "all clips"
            own = "" if row["own"] is None else f", {row['own']:.0%} of them at the own arm"
            yield f"{name}: right hand in {row['right']:.0%} of frames, left hand in {row['left']:.0%}{own}"

    def hand_shares(self) -> list[dict[str, Any]]:
        """Return the shares of frames with each hand, and with a hand at its own arm, by signer."""
        read = self.figures["num_frames"] > 0
        if not read.any() or not np.isfinite(self.figures["seen"][read]).any():
            return []
        signers = np.array([str(record.get("signer")) for record in self.records])
        rows = []
        for signer in sorted(set(signers[read].tolist())):
            figures = self.figures[read & (signers == signer)]
            right, left = (figures["seen"] * figures["num_frames"][:, None]).sum(0) / figures["num_frames"].sum()
            judged = int(figures["judged"].sum())
            own = int(figures["own"].sum()) / judged if judged else None
            name = None if signer == "None" else signer
            rows.append({"signer": name, "clips": len(figures), "right": float(right), "left": float(left), "own": own})
        return rows

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        frames = self.figures["num_frames"][self.figures["num_frames"] > 0]
        return {
            "source": self.name,
            "skeleton": self.skeleton,
            "clips": len(self.records),
            "frames": {"sum": int(frames.sum()), "min": int(frames.min(initial=1 << 30)), "max": int(frames.max(initial=0))}
            if len(frames)
            else None,
            "hands": self.hand_shares(),
            "not_read": list(self.notes),
            "cannot_be_read": list(self.problems),
            "findings": [self._plain(finding) for finding in self.findings],
            "left_out": list(self.left_out()),
        }

    def _plain(self, finding: Finding) -> dict[str, Any]:
        details = finding.details or ("",) * len(finding.clips)
        return {
            "kind": finding.kind,
            "is_problem": finding.is_problem,
            "text": finding.text(self.records),
            "clips": [
                {"clip_id": self.records[position]["clip_id"], **({"detail": detail} if detail else {})}
                for position, detail in zip(finding.clips, details, strict=True)
            ],
        }


def sort_findings(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings about the corpus first, then problems, then notes, each in the order of `KINDS`."""
    order = {kind: number for number, kind in enumerate(KINDS)}
    return sorted(findings, key=lambda finding: (finding.kind != "corpus", not finding.is_problem, order[finding.kind]))
