"""Train a little, note the clips of every iteration; stop or be killed after one of them, and resume."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import sys
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from karsl.engine import build_runner

if "resume_toys" in sys.modules:
    toys = sys.modules["resume_toys"]
else:
    _SPEC = importlib.util.spec_from_file_location("resume_toys", Path(__file__).with_name("conftest.py"))
    toys = sys.modules["resume_toys"] = importlib.util.module_from_spec(_SPEC)
    _SPEC.loader.exec_module(toys)


class Stopped(Exception):
    """The run was to stop here."""


@HOOKS.register_module(force=True)
class Witness(Hook):
    """Writes which clips an iteration had, and the seed and epoch of its random numbers; ends the run."""

    def __init__(self, folder: str, stop: int = 0, kill: int = 0) -> None:
        self.folder, self.stop, self.kill, self.drawn = Path(folder), stop, kill, []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        done = runner.iter + 1
        with (self.folder / "seen.jsonl").open("a") as stream:
            stream.write(json.dumps([done, [int(i) for i in data_batch["sample_idx"]]]) + "\n")
        dataset = runner.train_dataloader.dataset
        self.drawn.append(list(getattr(dataset, "dataset", dataset).seed_and_epoch))
        (self.folder / "drawn.json").write_text(json.dumps(self.drawn))
        if done in (self.stop, self.kill):
            runner.save_checkpoint(str(self.folder), f"iter_{done}.pth", by_epoch=False)
            (self.folder / "last_checkpoint").write_text(str(self.folder / f"iter_{done}.pth"))
        if done == self.stop:
            raise Stopped
        if done == self.kill:
            os.kill(os.getpid(), signal.SIGKILL)


def run(
    folder: Path,
    *,
    loop: str,
    source: str,
    workers: int = 0,
    stop: int = 0,
    kill: int = 0,
    resume: bool = False,
    batch_size: int = 4,
    clips: str = "ToyClips",
) -> None:
    """Three epochs of 14 clips, in batches of 4 12 iterations; under torchrun on several ranks."""
    folder.mkdir(parents=True, exist_ok=True)
    cfg = toys.toy_config(folder, num_workers=workers, max_epochs=3)
    dataset = {"type": clips, "size": 14}
    loader = cfg.train_dataloader
    loader.batch_size = batch_size
    if source == "stream":
        loader.dataset, loader.sampler = {"type": "StreamDataset", "source": dataset, "window": 5}, None
    else:
        loader.dataset, loader.sampler = dataset, {"type": "ResumableSampler"}
    if loop == "iter":
        cfg.train_cfg = {"by_epoch": False, "max_iters": 12}
        cfg.param_scheduler = []
    cfg.custom_hooks = [{"type": "Witness", "folder": str(folder), "stop": stop, "kill": kill, "priority": "LOW"}]
    cfg.resume = resume
    if "RANK" in os.environ:
        torch.distributed.init_process_group("gloo")  # MMEngine's own start asks for a GPU
        cfg.launcher = "pytorch"
        cfg.model_wrapper_cfg = {"type": "MMDistributedDataParallel", "device_ids": None}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums of two threads differ in the last bit from those of one
    try:
        runner = build_runner(cfg)
        runner.train()
    finally:
        torch.set_num_threads(threads)
    if runner.rank == 0:
        torch.save(runner.model.state_dict(), folder / "weights.pth")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--loop")
    parser.add_argument("--source")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--kill", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--resume", action="store_true")
    run(**vars(parser.parse_args()))
