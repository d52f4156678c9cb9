"""An audit finds every planted fault, and nothing in sound clips."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from karsl.audit.corpus import audit_clips
from karsl.formats import open_clips
from karsl.testing import make_corpus
from tests.audit import planted


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Synthetic corpus of 8 signs with 198 clips."""
    return make_corpus(tmp_path_factory.mktemp("clean"), signs=6, train_clips=12, test_clips=4)


def audit(root):
    return audit_clips(open_clips(root, skip_bad=True))


def kinds_of(report) -> dict[str, set[str]]:
    """Return the kinds of findings of each clip."""
    kinds = defaultdict(set)
    for finding in report.findings:
        for position in finding.clips:
            kinds[report.records[position]["clip_id"]].add(finding.kind)
    return kinds


@pytest.fixture(scope="module")
def with_content_faults(clean, tmp_path_factory):
    """Report on a corpus with each fault of `CONTENT` in another clip, and the clip by fault."""
    clips = planted.load(clean)
    places = [(file, key) for file in clips for key in list(clips[file])[::3] if len(clips[file][key]) > 14]
    # every other, so that enough sound clips of each sign remain
    chosen = {fault: places[2 * number % len(places)] for number, fault in enumerate(planted.CONTENT)}
    for fault, (file, key) in chosen.items():
        clips[file][key] = planted.CONTENT[fault][1](clips[file][key])
    report = audit(planted.save(tmp_path_factory.mktemp("content"), clips, clean))
    return report, {fault: f"{file[:-4]}/{key}" for fault, (file, key) in chosen.items()}


def test_nothing_is_found_in_a_sound_corpus(clean):
    report = audit(clean)
    assert list(report.lines())[-1] == "no finding"
    assert (report.findings, report.problems, report.notes) == ([], [], [])


@pytest.mark.parametrize("fault", planted.CONTENT)
def test_a_fault_of_a_clip_is_found(with_content_faults, fault):
    report, chosen = with_content_faults
    assert planted.CONTENT[fault][0] in kinds_of(report)[chosen[fault]]


def test_no_other_clip_is_reported(with_content_faults):
    report, chosen = with_content_faults
    assert set(kinds_of(report)) <= set(chosen.values())
