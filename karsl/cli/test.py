"""`karsl test`: evaluate a checkpoint on the test split of a config."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from karsl.cli.options import import_user_modules, suggest_data_root
from karsl.cli.train import add_common_arguments, data_arguments
from karsl.errors import ConfigError

if TYPE_CHECKING:
    from mmengine.runner import Runner

SUMMARY = "evaluate a checkpoint on the test split of a config"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options, named as in MMAction2."""
    parser.add_argument("config", metavar="CONFIG", help="config file")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="checkpoint file, e.g. work_dirs/demo/epoch_20.pth")
    parser.add_argument("--work-dir", metavar="DIR", help="folder for the log (default: work_dirs/<config name>)")
    parser.add_argument("--dump", metavar="FILE.json", help="write the five most likely classes of each clip to this file")
    add_common_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Test, then print the metrics and the path of the log."""
    from mmengine.dist import is_main_process

    from karsl.engine import build_runner, launch, load_config, read_checkpoint, shut_down
    from karsl.engine.checkpoint import check_classes, check_weights, stored_metainfo

    import_user_modules(args.imports)
    checkpoint = read_checkpoint(args.checkpoint)
    cfg = load_config(args.config, args.cfg_options, **data_arguments(args))
    cfg.work_dir = args.work_dir or cfg.work_dir
    cfg.load_from, cfg.resume = args.checkpoint, False
    if not cfg.get("test_dataloader"):
        raise ConfigError(f"config '{args.config}' has no test_dataloader")
    try:
        launch(cfg, args.launcher)
        with suggest_data_root(args):
            runner = build_runner(cfg, metainfo=stored_metainfo(checkpoint))
            check_weights(runner, checkpoint)
            check_classes(runner, checkpoint)
            if args.dump:
                _dump_to(runner, Path(args.dump))
            metrics = runner.test()
        if is_main_process():
            _report(runner, metrics, args.dump)
    finally:
        shut_down()
    return 0


def _dump_to(runner: Runner, path: Path) -> None:
    from karsl.datasets.tree import walk_datasets
    from karsl.evaluation import DumpPredictions

    dataset = runner.test_loop.dataloader.dataset
    # `sample_idx` counts within the dataset that made the sample, which is one of several below ConcatDataset
    is_ambiguous = any(len(getattr(part, "datasets", ())) > 1 for part in walk_datasets(dataset))

    def describe(sample_idx: int) -> dict:
        record = dataset.get_data_info(sample_idx)
        return {key: record[key] for key in ("clip_id", "signer", "sign") if key in record}

    can_describe = hasattr(dataset, "get_data_info") and not is_ambiguous
    metric = DumpPredictions(path, describe=describe if can_describe else None)
    metric.dataset_meta = getattr(dataset, "metainfo", None)
    runner.test_evaluator.metrics.append(metric)


def _report(runner: Runner, metrics: dict[str, float], dump: str | None) -> None:
    for name, value in metrics.items():
        print(f"{name}: {value:.4f}")
    print(f"logs: {runner.log_dir}")
    if dump:
        print(f"predictions: {dump}")
