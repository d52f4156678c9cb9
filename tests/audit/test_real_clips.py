"""Real clips: nothing is invented, and clips that are known to be doubtful are found."""

from __future__ import annotations

import json

import pytest

from karsl.audit.corpus import audit_clips
from karsl.formats import open_clips


@pytest.mark.parametrize("name", ["karsl_layout", "holistic1662", "autsl_dummy"])
def test_nothing_is_found_in_sound_clips(shared_data, name):
    report = audit_clips(open_clips(shared_data(name)))
    assert (report.findings, report.problems) == ([], [])


def test_the_two_equal_clips_of_the_asl_app_are_found(shared_data):
    report = audit_clips(open_clips(shared_data("asl_signs_app")))
    (copies,) = [finding for finding in report.findings if finding.kind == "copy"]
    assert [report.records[position]["clip_id"] for position in copies.clips] == ["six", "w"]


def test_faults_of_bodies_are_those_that_the_corpus_documents(shared_data, tmp_path):
    folder = shared_data("nsl23")
    content = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    for record in content["data_list"]:
        record["keypoint_path"] = str(folder / "clips" / record["keypoint_path"])
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    report = audit_clips(open_clips(tmp_path / "annotations.json"))
    kinds = ("far", "unit", "upside_down", "rotated", "mirrored", "order", "flat", "empty", "frozen")
    found = {position for finding in report.findings if finding.kind in kinds for position in finding.clips}
    assert len(found) >= 8
    assert not any(report.records[position]["body_ok"] for position in found)
