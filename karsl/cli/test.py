"""`karsl test`: evaluate a checkpoint on the test split of a config."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from karsl.cli.options import import_user_modules, suggest_data_root
from karsl.cli.train import add_common_arguments, add_split_file, data_arguments
from karsl.errors import ConfigError

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner

SUMMARY = "evaluate a checkpoint on the test split of a config"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options, named as in MMAction2."""
    parser.add_argument("config", metavar="CONFIG", help="config file")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="checkpoint file, e.g. work_dirs/demo/epoch_20.pth")
    parser.add_argument("--work-dir", metavar="DIR", help="folder for the log (default: work_dirs/<config name>)")
    parser.add_argument(
        "--dump",
        metavar="FILE",
        help="write the predictions to this file: all scores for 'karsl report' and 'karsl fuse' in .npz, or the five most "
        "likely classes of each clip, to read by eye, in .json",
    )
    add_common_arguments(parser)
    add_split_file(parser)


def run(args: argparse.Namespace) -> int:
    """Test, then print the metrics and the path of the log."""
    from mmengine.dist import is_main_process

    from karsl.engine import check_inputs, launch, load_config, read_checkpoint, shut_down

    import_user_modules(args.imports)
    read_checkpoint(args.checkpoint)  # before the config, since a bad file is the more likely mistake
    cfg = load_config(args.config, args.cfg_options, **data_arguments(args))
    cfg.work_dir = args.work_dir or cfg.work_dir
    if not cfg.get("test_dataloader"):
        raise ConfigError(f"config '{args.config}' has no test_dataloader")
    with suggest_data_root(args):
        check_inputs(cfg, ("test_dataloader",))
    try:
        launch(cfg, args.launcher)
        with suggest_data_root(args):
            runner, metrics = evaluate_checkpoint(cfg, args.checkpoint, args.dump)
        if is_main_process():
            _report(runner, metrics, args.dump)
    finally:
        shut_down()
    return 0


def evaluate_checkpoint(cfg: Config, path: str | Path, dump: str | Path | None = None) -> tuple[Runner, dict[str, float]]:
    """Evaluate a checkpoint.

    Args:
        cfg: Config with a test dataset; `load_from` and `resume` are set in place.
        path: Checkpoint.
        dump: File for the predictions, None for none; see `dump_metric`.

    Returns:
        The runner and its metrics.

    Raises:
        ConfigError: If checkpoint, config and dataset do not fit together.
    """
    from karsl.engine import build_runner, read_checkpoint
    from karsl.engine.checkpoint import check_classes, check_weights, checkpoint_name, stored_metainfo
    from karsl.evaluation import dump_metric

    checkpoint = read_checkpoint(path)
    cfg.load_from, cfg.resume = str(path), False
    runner = build_runner(cfg, metainfo=stored_metainfo(checkpoint))
    check_weights(runner.model, checkpoint)
    check_classes(runner, checkpoint)
    if dump:
        dataset = runner.test_loop.dataloader.dataset
        runner.test_evaluator.metrics.append(dump_metric(dump, dataset, checkpoint=checkpoint_name(path)))
    return runner, runner.test()


def _report(runner: Runner, metrics: dict[str, float], dump: str | None) -> None:
    for name, value in metrics.items():
        print(f"{name}: {value:.4f}")
    print(f"logs: {runner.log_dir}")
    if dump:
        print(f"predictions: {dump}")
