"""An audit finds every planted fault, and nothing in sound clips."""

from __future__ import annotations

from collections import defaultdict

import pytest

from karsl.audit.corpus import audit_clips
from karsl.formats import open_clips
from karsl.testing import make_corpus
from tests.audit import planted


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Synthetic corpus of 6 signs and 3 signers, 288 clips."""
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


@pytest.mark.parametrize("copy", planted.COPIES)
def test_a_copy_is_found_across_splits_and_signers(clean, tmp_path, copy):
    clips = planted.load(clean)
    key, original = next(iter(clips["01-train/0001.npz"].items()))
    clips["02-test/0001.npz"]["another name"] = planted.COPIES[copy][1](original)
    root = planted.save(tmp_path / "root", clips, clean)
    planted.as_single_files(root, "02-test/0001.npz")  # whose CRC is not compared by the scan
    report = audit(root)
    (finding,) = report.findings
    assert finding.kind == planted.COPIES[copy][0]
    names = {f"01-train/0001/{key}", "02-test/0001/another name"}
    assert {report.records[position]["clip_id"] for position in finding.clips} == names
    assert report.left_out() == {f"01-train/0001/{key}": finding.kind}  # the copy in test is kept


def test_a_misfiled_clip_is_found_with_its_sign(clean, tmp_path):
    clips = planted.load(clean)
    moves = [("01", 1, 3), ("02", 2, 5), ("03", 3, 4)]  # signs that are not alike
    for number, (signer, sign, other) in enumerate(moves):
        source, target = (clips[f"{signer}-train/{s:04d}.npz"] for s in (sign, other))
        target[f"moved {number}"] = source.pop(list(source)[4])
    report = audit(planted.save(tmp_path, clips, clean))
    assert {finding.kind for finding in report.findings} == {"misfiled"}
    moved = [report.records[position]["clip_id"].rpartition("/")[2] for position in report.findings[0].clips]
    expected = {f"moved {number}": f"like sign {sign:04d}" for number, (_, sign, _) in enumerate(moves)}
    assert dict(zip(moved, report.findings[0].details, strict=True)) == expected


def test_names_of_other_folders_are_found(clean, tmp_path):
    clips = planted.load(clean)
    signer, sign, twice = (clips["01-train/0001.npz"].pop(key) for key in list(clips["01-train/0001.npz"])[:3])
    clips["01-train/0001.npz"]["01_02_0001_(01_12_17_09_00_00)_c"] = signer
    clips["01-train/0001.npz"]["01_01_0002_(02_12_17_09_00_00)_c"] = sign
    clips["01-train/0001.npz"][next(iter(clips["01-test/0001.npz"]))] = twice
    report = audit(planted.save(tmp_path, clips, clean))
    assert [(finding.kind, len(finding.clips)) for finding in report.findings] == [
        ("wrong_signer", 1), ("wrong_sign", 1), ("name_twice", 2)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def with_file_faults(clean, tmp_path_factory):
    root = planted.save(tmp_path_factory.mktemp("files") / "root", planted.load(clean), clean)
    expected = planted.plant_files(root)
    report = audit(root)
    return "\n".join([*report.notes, *report.problems]), expected


def test_every_fault_of_a_file_or_folder_is_named(with_file_faults):
    text, expected = with_file_faults
    assert {fault: part for fault, part in expected.items() if part not in text} == {}, text


def test_one_line_for_many_files_of_another_number_of_points(clean, tmp_path):
    clips = {
        file: {key: clip[:, :75] for key, clip in arrays.items()} if file != "01-train/0001.npz" else arrays
        for file, arrays in planted.load(clean).items()
    }
    report = audit(planted.save(tmp_path, clips, clean))
    (line,) = report.problems
    start = "276 clips with 75 keypoints, the skeleton has 184; mp_75 has 75: --source-skeleton mp_75: 01-test/0001.npz, "
    assert line.startswith(start)


@pytest.mark.parametrize("fault", ["upside down", "mirrored", "x and y exchanged", "hands exchanged", "points shuffled"])
def test_a_fault_of_the_whole_corpus_is_one_sentence_and_leaves_nothing_out(clean, tmp_path, fault):
    kind, change = planted.CONTENT[fault]
    clips = {f: {k: change(c) for k, c in arrays.items()} for f, arrays in planted.load(clean).items() if f[:2] == "01"}
    report = audit(planted.save(tmp_path, clips, clean))
    first = report.findings[0]
    assert first.kind == "corpus"
    assert report.left_out() == {}
    many = planted.kinds_text(kind)
    assert "% of all clips: " in first.sentence
    assert many in first.sentence


def test_the_hands_of_one_signer_are_one_finding_that_names_the_signer(clean, tmp_path):
    clips = planted.load(clean)
    for file in clips:
        if file.startswith("02-"):
            clips[file] = {key: planted.swap_hands(clip) for key, clip in clips[file].items()}
    report = audit(planted.save(tmp_path, clips, clean))
    (finding,) = report.findings
    assert finding.kind == "swapped_hands"
    assert "clips of signer 02 have hands at the wrong arms" in finding.text(report.records)
    assert [round(row["own"]) for row in report.hand_shares()] == [1, 0, 1]
