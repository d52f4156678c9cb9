"""Run in a test: MMEngine's own Runner with config files, each in a process that has not imported karsl."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner


def train_and_test(job: dict) -> None:
    """Train, validate on the clips of the test loader, and test, with `options` as of `--cfg-options`."""
    cfg = Config.fromfile(job["config"])
    cfg.merge_from_dict(job["options"])
    cfg.work_dir = job["work_dir"]
    cfg.val_dataloader, cfg.val_evaluator, cfg.val_cfg = cfg.test_dataloader, cfg.test_evaluator, {}
    runner = Runner.from_cfg(cfg)
    runner.train()  # validates after the epoch
    assert runner.message_hub.get_scalar("val/acc/top1").current() == runner.test()["acc/top1"]


def main(jobs: list[dict]) -> int:
    """Run each job in a fork of this process; return the number of those that failed."""
    failures = 0
    for job in jobs:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                assert not any(name.split(".")[0] == "karsl" for name in sys.modules)
                train_and_test(job)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        failures += os.waitpid(pid, 0)[1] != 0
    return failures


if __name__ == "__main__":
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
