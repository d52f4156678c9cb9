"""Let the workers of a loader go when a run ends."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader

from karsl.registry import HOOKS


def stop_workers(loader: DataLoader) -> None:
    """Stop persistent workers; the loader starts new ones when it is used again.

    Left to the garbage collector, which meets a Runner's loader inside a cycle, each worker costs 5 s: its queue is gone
    before it is told to stop, so torch waits for its time limit.
    """
    iterator = getattr(loader, "_iterator", None)
    if iterator is not None and hasattr(iterator, "_shutdown_workers"):
        iterator._shutdown_workers()
        loader._iterator = None


@HOOKS.register_module()
class StopWorkersHook(Hook):
    """At the end of training, validation or testing, stop the workers of every loader that was built."""

    # Other hooks may still use the loaders.
    priority = "LOWEST"

    def after_run(self, runner: Runner) -> None:
        """Stop workers; see the class."""
        for loop in (runner._train_loop, runner._val_loop, runner._test_loop):
            if isinstance(loop, BaseLoop) and isinstance(loop.dataloader, DataLoader):
                stop_workers(loop.dataloader)
