"""Workers end with the run that started them."""

from __future__ import annotations

import multiprocessing

from karsl.engine import build_runner


def test_no_worker_outlives_a_run_and_the_loader_can_start_again(toy):
    before = set(multiprocessing.active_children())
    runner = build_runner(toy(max_epochs=1, num_workers=2))
    runner.train()
    assert set(multiprocessing.active_children()) <= before
    assert set(runner.test()) == {"acc/top1", "acc/mean1"}
    assert len(list(runner.train_dataloader)) == 3
    runner.call_hook("after_run")
    assert set(multiprocessing.active_children()) <= before
