"""Say what each loader holds when a run begins: a signer that is not there would make another experiment of it."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from karsl.datasets.walk import walk_datasets
from karsl.errors import pluralize
from karsl.registry import HOOKS


@HOOKS.register_module()
class ContentsHook(Hook):
    """Logs a line for each loader: `train: 45 clips, 3 signs, signers 01; asked for signers 03, not there`."""

    def before_run(self, runner: Runner) -> None:
        """Loops that are not run are not built yet."""
        for name in ("train", "val", "test"):
            loader = getattr(getattr(runner, f"_{name}_loop", None), "dataloader", None)
            said = "" if loader is None else describe_contents(loader.dataset)
            if said:
                runner.logger.info(f"{name}: {said}")


def describe_contents(dataset: Any) -> str:
    """The contents of a dataset, or of those that it wraps; empty where none says."""
    parts = [part for part in walk_datasets(dataset) if getattr(part, "summary", "")]
    said = " + ".join(
        p.summary + (f"; asked for {p.unmatched_filters}, not there" if p.unmatched_filters else "") for p in parts
    )
    if not parts or not hasattr(dataset, "__len__") or len(parts) == 1 and len(parts[0]) == len(dataset):
        return said
    return f"{pluralize(len(dataset), 'clip')} of {said}"
