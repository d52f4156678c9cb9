"""A resumed run continues bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from karsl.engine import build_runner


def train(cfg) -> dict[str, torch.Tensor]:
    runner = build_runner(cfg)
    runner.train()
    return runner.model.state_dict()


def losses(cfg) -> list[float]:
    lines = [line for log in sorted(Path(cfg.work_dir).glob("*/vis_data/scalars.json")) for line in log.open()]
    rows = [json.loads(line) for line in lines]
    return [row["loss"] for row in rows if "loss" in row]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_two_epochs_and_two_more_equal_four_to_the_last_bit(toy, num_workers):
    straight = toy("straight", max_epochs=4, num_workers=num_workers)
    first = toy("parts", max_epochs=2, num_workers=num_workers)
    second = toy("parts", max_epochs=4, num_workers=num_workers)
    second.resume = True
    for cfg in (straight, first, second):  # log every value as it is, not a mean over a window
        cfg.log_processor = {"window_size": 1}
    whole = train(straight)
    train(first)
    parts = train(second)
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    assert len(losses(straight)) == 12
    assert losses(straight) == losses(second)


def test_a_run_without_a_seed_resumes_with_the_seed_of_its_checkpoint(toy):
    first, second = toy("parts", max_epochs=1), toy("parts", max_epochs=2)
    for cfg in (first, second):
        cfg.randomness = {"seed": None}
    second.resume = True
    before = build_runner(first)
    before.train()
    after = build_runner(second)
    after.train()
    assert after.seed == before.seed
    assert after.train_dataloader.sampler.seed == before.seed
