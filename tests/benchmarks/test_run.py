"""Rounds in separate processes, and candidates that fail. No time is asserted."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks import Case, Plan, choose_candidates, run_plan
from benchmarks.__main__ import main
from benchmarks.dataset_files import DatasetFiles, drop_page_cache
from benchmarks.errors import BenchError
from benchmarks.launch import Launcher
from benchmarks.measurement import Figures, Measurement
from benchmarks.result import CandidateResult, Result

CASES = (Case(), Case(2, "fork"))


def small(**changes) -> Plan:
    usual = dict(cases=CASES, count=60, rounds=2, seconds=0.01, batch_size=10, one_process=True)
    return Plan(**(usual | changes))


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    steps_done = []
    candidates, _ = choose_candidates(["memory-map", "npz-per-sign"])
    plan = small()
    found = run_plan(
        plan, candidates, tmp_path_factory.mktemp("work"), progress=lambda text, steps: steps_done.append((text, steps))
    )
    assert sum(steps for _, steps in steps_done) == plan.steps(candidates)
    return found


def test_every_case_has_one_reading_per_round(result):
    assert result.failed == {}
    for candidate in result.candidates.values():
        assert {case: len(readings) for case, readings in candidate.readings.items()} == {case.name: 2 for case in CASES}
        assert all(candidate.median(case.name, what) > 0 for case in CASES for what in ("clips_s", "first_batch_s"))


def test_a_result_is_json_with_medians_and_machine(result, tmp_path):
    result.write(tmp_path / "made" / "bench.json")
    read = json.loads((tmp_path / "made" / "bench.json").read_text())
    assert set(read) == {"machine", "plan", "candidates", "ratios", "skipped", "failed", "stages_us"}
    assert set(read["candidates"]["memory-map"]["median_clips_s"]) == {"in process", "2 workers, fork"}


def test_ratios_compare_karsl_to_baselines_archives_and_the_limit():
    def measured(role, rate):
        figures = {case: [Figures(case, rate, 0.1, None)] for case in ("in process", "2 workers, fork")}
        return CandidateResult(role=role, prepare_s=0.0, disk_bytes=0, readings=figures)

    roles = {"karsl": ("karsl", 600), "karsl-kernel": ("part", 800), "npz-per-sign": ("baseline", 10)}
    roles |= {"memory-map": ("baseline", 60), "limit": ("limit", 1200)}
    found = Result(plan={}, candidates={name: measured(*entry) for name, entry in roles.items()})
    assert dict(found.ratios()) == {
        "karsl / memory-map, in process": 10,
        "karsl / memory-map, 2 workers, fork": 10,
        "karsl / npz-per-sign, in process": 60,
        "karsl-kernel / limit, in process": 800 / 1200,
        "karsl / limit, in process": 0.5,
    }


@pytest.mark.parametrize("one_process", [True, False])
def test_a_candidate_without_workers_is_left_out_if_every_case_has_workers(tmp_path, one_process):
    candidates, _ = choose_candidates(["memory-map", "limit"])
    found = run_plan(small(rounds=1, cases=CASES[1:], one_process=one_process), candidates, tmp_path)
    assert (list(found.candidates), found.failed) == (["memory-map"], {})


def test_a_failing_candidate_is_reported_and_the_others_are_measured(tmp_path, monkeypatch):
    candidates, _ = choose_candidates(["memory-map", "npy-per-clip"])
    broken = next(candidate for candidate in candidates if candidate.name == "npy-per-clip")
    monkeypatch.setattr(broken, "first_clips", lambda folder, count: [1 / 0], raising=False)
    found = run_plan(small(rounds=1, cases=(Case(),)), candidates, tmp_path)
    assert list(found.candidates) == ["memory-map"]
    assert found.failed == {"npy-per-clip": "ZeroDivisionError: division by zero"}


@pytest.mark.parametrize("one_import", [True, False])
def test_an_error_of_a_measurement_is_one_line(tmp_path, one_import):
    measurement = Measurement("memory-map", str(tmp_path / "nowhere"), (Case(),), count=60)
    sentence = r"memory-map \(in process\): FileNotFound"
    with Launcher(one_import=one_import) as launcher, pytest.raises(BenchError, match=sentence):
        launcher.run(measurement)


def test_files_are_written_once_and_an_interrupted_run_starts_again(tmp_path, stores, monkeypatch):
    candidates, _ = choose_candidates(["memory-map"])
    left_over = stores.root / "memory-map.part"
    left_over.mkdir(exist_ok=True)
    (left_over / "frames.bin").write_bytes(b"half")
    stores.prepare(candidates[0])
    monkeypatch.setattr(type(candidates[0]), "write", lambda *args: pytest.fail("written twice"))
    stores.prepare(candidates[0])
    drop_page_cache(stores.root)


@pytest.mark.parametrize("name", ["offsets.npy", "frames.bin"])
def test_a_truncated_source_is_named_with_a_remedy(tmp_path, name):
    file = DatasetFiles(tmp_path, count=60).root / "source" / name
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(BenchError, match=r"clips60-seed0/source: damaged \(.*\); remove the folder and try again"):
        DatasetFiles(tmp_path, count=60)


def test_the_command_prints_a_table_and_writes_the_requested_files(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    words = ["--quick", "--clips", "60", "--seconds", "0.01", "--workers", "0"]
    words += ["--only", "memory-map", "npy-per-clip"]
    files = ["--json", str(tmp_path / "b.json"), "--plot", str(tmp_path / "b.png"), "--work-dir", str(tmp_path / "work")]
    assert main(words + files) == 0
    out = capsys.readouterr().out
    assert "npy-per-clip" in out
    assert json.loads(Path(tmp_path / "b.json").read_text())["plan"]["count"] == 60
    assert (tmp_path / "b.png").stat().st_size > 1000


@pytest.mark.parametrize(("words", "rows"), [(["--index"], 2), (["--open", "--rounds", "1"], 4)])
def test_figures_of_starts_are_written_too(words, rows, tmp_path, capsys):
    options = ["--clips", "60", "--json", str(tmp_path / "b.json"), "--work-dir", str(tmp_path / "new" / "work")]
    assert main([*words, *options]) == 0
    content = json.loads((tmp_path / "b.json").read_text())
    assert (content["count"], len(content["figures"])) == (60, rows)
    assert "cpus" in content["machine"]
    assert f"figures: {tmp_path / 'b.json'}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--clips", "10"], "--clips 10; at least 60 are needed"),
        (["--workers", "-1"], "--workers -1; expected 0 or more"),
        (["--seed", "-1"], "--seed -1; expected 0 or more"),
        (["--seconds", "0"], "--seconds 0.0; expected a positive number"),
        (["--only", "lmbd"], "no candidate 'lmbd'; did you mean 'lmdb'?"),
        (["--index", "--plot", "b.png"], "--index does not accept --plot; leave --index or --plot out"),
        (["--index", "--rounds", "2"], "does not accept --rounds"),
        (["--open", "--workers", "2"], "does not accept --workers"),
    ],
)
def test_wrong_options_are_one_sentence(words, sentence, capsys):
    assert main(words) == 2
    assert sentence in capsys.readouterr().err


def test_two_modes_at_once_are_rejected(capsys):
    with pytest.raises(SystemExit):
        main(["--open", "--index"])
    assert "not allowed with argument" in capsys.readouterr().err
