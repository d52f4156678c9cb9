"""Memory of a training run's processes, in its log."""

from __future__ import annotations

import multiprocessing
import os
from typing import TYPE_CHECKING, Any

from mmengine.hooks import Hook

from karsl.profiling.probe import sample_process
from karsl.profiling.proc import RecordPages, record_pages
from karsl.profiling.results import MIB, Case, Point, ProcessSample, Series, growth_verdict, sharing_verdict
from karsl.registry import HOOKS

if TYPE_CHECKING:
    from mmengine.runner import Runner


@HOOKS.register_module()
class MemoryHook(Hook):
    """Log the memory of the main process and its workers every `interval` training iterations.

    Three numbers enter the log and its curves: `memory_mib` (program and shared memory of the processes of this rank, sum of
    PSS), `worker_uss_mib` (mean private memory per worker) and `private_records_pct` (largest fraction of the record pages
    that a process copied). A number that the system does not report is omitted. The verdicts are logged at the end.

    Args:
        interval: Iterations between two measurements; one takes about 5 ms per process.

    Example:
        >>> MemoryHook(interval=50).interval
        50
    """

    # Before LoggerHook writes the line of this iteration.
    priority = "NORMAL"

    def __init__(self, interval: int = 100) -> None:
        self.interval = interval
        self._pages: list[RecordPages] = []
        self._series: Series | None = None

    def before_train(self, runner: Runner) -> None:
        """Locate the records."""
        loader = runner.train_dataloader
        context = getattr(loader, "multiprocessing_context", None)
        method = multiprocessing.get_start_method() if context is None else context.get_start_method()
        self._pages = record_pages(loader.dataset)
        self._series = Series(Case(method, num_workers=loader.num_workers), num_records=len(loader.dataset))

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Measure at the end of an interval."""
        series = self._series
        if series is None or not self.every_n_train_iters(runner, self.interval):
            return
        point = Point(runner.iter + 1, runner.epoch, self._sample(forked=series.case.start_method == "fork"))
        series.points.append(point)
        ratio = point.private_ratio
        for name, value in (
            ("memory_mib", None if point.cost is None else point.cost / MIB),
            ("worker_uss_mib", point.mean_uss / MIB),
            ("private_records_pct", None if ratio is None else 100 * ratio),
        ):
            if value is not None:
                runner.message_hub.update_scalar(f"train/{name}", value)

    def after_train(self, runner: Runner) -> None:
        """Log the verdicts."""
        if self._series is not None and self._series.points:
            runner.logger.info(f"memory: {sharing_verdict(self._series)}; {growth_verdict(self._series)}")

    def _sample(self, *, forked: bool) -> tuple[ProcessSample, ...]:
        children = enumerate(child.pid for child in multiprocessing.active_children())
        roles = {"main": os.getpid(), **{f"worker {i}": pid for i, pid in children if pid is not None}}
        samples = []
        for role, pid in roles.items():
            same_pages = role == "main" or forked or all(pages.kind == "index" for pages in self._pages)
            sample = sample_process(pid, 0, role, self._pages if same_pages else [])  # a spawned list is at other addresses
            if sample is not None:
                samples.append(sample)
        return tuple(samples)
