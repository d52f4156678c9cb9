"""A run killed in the middle of an epoch resumes with the next batch, bit for bit."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from karsl.registry import DATASETS

SCRIPT = Path(__file__).with_name("resume_run.py")
_SPEC = importlib.util.spec_from_file_location("resume_run", SCRIPT)
resume_run = importlib.util.module_from_spec(_SPEC)
sys.modules["resume_run"] = resume_run
_SPEC.loader.exec_module(resume_run)
run = resume_run.run


def seen(folder: Path) -> list[list[int]]:
    """The clips of each iteration, that of a resumed one last."""
    lines = [json.loads(line) for line in (folder / "seen.jsonl").read_text().splitlines()]
    return [dict(map(tuple, lines))[k] for k in sorted(dict(map(tuple, lines)))]


def per_epoch(folder: Path, first: int) -> list[list[int]]:
    """The clips of the iterations that a run first wrote and a resumed one then, in parts of 14."""
    lines = [json.loads(line) for line in (folder / "seen.jsonl").read_text().splitlines()]
    clips = [clip for _, batch in lines[:first] + sorted(lines[first:]) for clip in batch]
    return [clips[at : at + 14] for at in range(0, len(clips), 14)]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "weights.pth", weights_only=True)


def same(first: Path, second: Path) -> bool:
    one, two = weights(first), weights(second)
    return seen(first) == seen(second) and all(torch.equal(one[key], two[key]) for key in one)


CASES = [("iter", "sampler", 5, 0, 2), ("epoch", "stream", 6, 0, 2)]
LONG = [
    ("epoch", "sampler", 5, 2, 0),
    ("iter", "stream", 6, 0, 2),
    ("iter", "stream", 3, 2, 1),
    ("epoch", "sampler", 8, 0, 0),
]


@pytest.mark.parametrize(
    ("loop", "source", "stop", "before", "after"), CASES + (LONG if os.environ.get("KARSL_LONG_TESTS") else [])
)
def test_a_run_that_stops_anywhere_resumes_bit_for_bit(tmp_path, loop, source, stop, before, after):
    run(tmp_path / "whole", loop=loop, source=source)
    with pytest.raises(resume_run.Stopped):
        run(tmp_path / "parts", loop=loop, source=source, workers=before, stop=stop)
    run(tmp_path / "parts", loop=loop, source=source, workers=after, resume=True)
    assert same(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("source", ["sampler", "stream"])
def test_every_clip_comes_in_every_epoch_after_a_resume_with_another_batch_size(tmp_path, source):
    with pytest.raises(resume_run.Stopped):
        run(tmp_path, loop="epoch", source=source, batch_size=2, stop=3)
    run(tmp_path, loop="epoch", source=source, batch_size=4, resume=True)
    assert [sorted(clips) for clips in per_epoch(tmp_path, 3)] == [list(range(14))] * 3


def test_every_clip_comes_in_every_epoch_after_a_resume_with_more_ranks(tmp_path):
    with pytest.raises(resume_run.Stopped):
        run(tmp_path, loop="epoch", source="sampler", batch_size=2, stop=3)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", str(SCRIPT)]
    arguments = [str(tmp_path), "--loop", "epoch", "--source", "sampler", "--batch-size", "2", "--resume"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [sorted(clips) for clips in per_epoch(tmp_path, 3)] == [list(range(14))] * 3


def test_a_loop_by_iteration_has_epochs_of_its_own(tmp_path):
    run(tmp_path / "run", loop="iter", source="sampler")
    clips = [c for batch in seen(tmp_path / "run") for c in batch]
    assert sorted(clips[:14]) == sorted(clips[14:28]) == list(range(14))
    assert clips[:14] != clips[14:28]
    drawn = json.loads((tmp_path / "run" / "drawn.json").read_text())
    assert drawn == [[3, k // 4] for k in range(12)]


@DATASETS.register_module(force=True)
class EpochOnlyClips(resume_run.toys.ToyClips):
    """A third-party dataset whose `set_epoch` takes no seed, like PyTorch's samplers."""

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)


def test_a_dataset_that_takes_no_seed_resumes_in_a_loop_by_iteration(tmp_path):
    run(tmp_path / "whole", loop="iter", source="sampler", clips="EpochOnlyClips")
    with pytest.raises(resume_run.Stopped):
        run(tmp_path / "parts", loop="iter", source="sampler", clips="EpochOnlyClips", stop=5)
    run(tmp_path / "parts", loop="iter", source="sampler", clips="EpochOnlyClips", resume=True)
    assert same(tmp_path / "whole", tmp_path / "parts")
    assert json.loads((tmp_path / "whole" / "drawn.json").read_text()) == [[0, k // 4] for k in range(12)]


def test_a_process_killed_in_the_middle_of_an_epoch_resumes(tmp_path):
    command = [sys.executable, str(SCRIPT)]
    arguments = [str(tmp_path / "parts"), "--loop", "epoch", "--source", "stream"]
    killed = subprocess.run(
        [*command, *arguments, "--workers", "2", "--kill", "6"], capture_output=True, timeout=300, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    subprocess.run([*command, *arguments, "--workers", "1", "--resume"], capture_output=True, timeout=300, check=True)
    run(tmp_path / "whole", loop="epoch", source="stream")
    assert same(tmp_path / "whole", tmp_path / "parts")


def forget_order(path: Path) -> None:
    """Take out of a checkpoint where the data were, as if an earlier version had written it."""
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["data_order"]
    torch.save(checkpoint, path)


def test_the_position_is_estimated_from_the_iteration_if_the_checkpoint_has_none(tmp_path):
    run(tmp_path / "whole", loop="iter", source="sampler")
    with pytest.raises(resume_run.Stopped):
        run(tmp_path / "parts", loop="iter", source="sampler", stop=6)
    forget_order(tmp_path / "parts" / "iter_6.pth")
    run(tmp_path / "parts", loop="iter", source="sampler", resume=True)
    assert same(tmp_path / "whole", tmp_path / "parts")


def test_an_epoch_restarts_if_its_position_cannot_be_estimated(tmp_path):
    with pytest.raises(resume_run.Stopped):
        run(tmp_path, loop="epoch", source="sampler", batch_size=2, stop=7)
    forget_order(tmp_path / "iter_7.pth")
    run(tmp_path, loop="epoch", source="sampler", batch_size=4, resume=True)
    assert [sorted(clips) for clips in per_epoch(tmp_path, 7)] == [list(range(14))] * 4


def test_streams_for_evaluation_get_their_batch_size(tmp_path):
    cfg = resume_run.toys.toy_config(tmp_path, num_workers=2, max_epochs=1)
    stream = {"type": "StreamDataset", "source": {"type": "ToyClips", "size": 14}, "shuffle": False, "remainder": "uneven"}
    cfg.test_dataloader.update(dataset=stream, sampler=None)
    cfg.val_dataloader, cfg.val_evaluator, cfg.val_cfg = cfg.test_dataloader, cfg.test_evaluator, {}
    runner = resume_run.build_runner(cfg)
    runner.train()
    assert 0 < runner.test()["acc/top1"] <= 1
