"""`karsl train`: train a recognizer from a config."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from karsl.cli.options import add_cfg_options, add_data_options, import_user_modules, suggest_data_root

if TYPE_CHECKING:
    from mmengine.config import Config

SUMMARY = "train a recognizer from a config"
EPILOG = """examples:
  karsl train configs/karsl502_signer_dependent.py --data-root data/karsl
  karsl train configs/karsl100_loso_s01.py --data-root data/karsl --work-dir out --amp
  karsl train CONFIG --data-root packed/karsl --ann-file annotations.json     from a pack of 'karsl pack'
  karsl train CONFIG --work-dir out --resume                                  continue an interrupted run with the next batch
  karsl train CONFIG --cfg-options train_dataloader.batch_size=32 train_dataloader.num_workers=8
  torchrun --nproc_per_node=2 -m karsl train CONFIG --launcher pytorch
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options, named as in MMAction2."""
    parser.epilog = EPILOG
    parser.add_argument("config", metavar="CONFIG", help="config file")
    parser.add_argument(
        "--work-dir", metavar="DIR", help="folder for logs and checkpoints (default: work_dirs/<config name>)"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="resume from a checkpoint, by default the latest one in the work dir",
    )
    parser.add_argument("--amp", action="store_true", help="train with mixed precision; on a CPU with bfloat16")
    add_common_arguments(parser)
    add_split_file(parser)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options shared with `karsl test` and `karsl loso`."""
    add_data_options(parser)
    add_cfg_options(parser)
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm", "mpi"),
        default="none",
        help="launcher of a distributed job (default: none)",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)


def add_split_file(parser: argparse.ArgumentParser) -> None:
    """Add `--split-file`, which `karsl loso` lacks: it makes its own folds."""
    parser.add_argument(
        "--split-file",
        metavar="FILE",
        help="split file of 'karsl splits make', relative to the data root or the current folder; the loaders read its "
        "parts train, val and test, in place of the splits and signers of the config",
    )


def data_arguments(args: argparse.Namespace) -> dict[str, str | None]:
    """Return the arguments of `load_config` that select the data."""
    return {"data_root": args.data_root, "ann_file": args.ann_file, "split_file": args.split_file}


def run(args: argparse.Namespace) -> int:
    """Train, then print the paths of checkpoint and logs."""
    from mmengine.dist import is_main_process

    from karsl.engine import build_runner, check_inputs, enable_amp, launch, load_config, shut_down

    import_user_modules(args.imports)
    cfg = load_config(args.config, args.cfg_options, **data_arguments(args))
    cfg.work_dir = args.work_dir or cfg.work_dir
    if args.amp:
        enable_amp(cfg)
    if args.resume:
        cfg.resume, cfg.load_from = True, None if args.resume == "auto" else args.resume
    with suggest_data_root(args):
        check_inputs(cfg, ("train_dataloader", "val_dataloader"))
    try:
        launch(cfg, args.launcher)
        _check_resume(cfg)
        with suggest_data_root(args):
            runner = build_runner(cfg)
            runner.train()
        if is_main_process():
            _report(Path(runner.work_dir), Path(runner.log_dir))
    finally:
        shut_down()
    return 0


def _check_resume(cfg: Config) -> None:
    """Turn resuming off if there is no checkpoint: MMEngine would log that it resumed from 'None'."""
    from mmengine.dist import is_main_process
    from mmengine.runner import find_latest_checkpoint

    if cfg.get("resume") and not cfg.get("load_from") and find_latest_checkpoint(cfg.work_dir) is None:
        cfg.resume = False
        if is_main_process():
            print(f"nothing to resume in {cfg.work_dir}, starting at epoch 1", flush=True)


def _report(work_dir: Path, log_dir: Path) -> None:
    pointer = work_dir / "last_checkpoint"
    checkpoint = pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else "none was saved"
    print(f"checkpoint: {checkpoint}\nlogs: {log_dir}")
