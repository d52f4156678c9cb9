"""`karsl loso`: train and test once per signer, each time with that signer held out."""

from __future__ import annotations

import argparse
import copy
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from karsl.cli.options import import_user_modules, suggest_data_root
from karsl.cli.train import add_common_arguments
from karsl.errors import ConfigError
from karsl.terminal import escape_controls

if TYPE_CHECKING:
    from mmengine.config import Config

SUMMARY = "leave one signer out: train and test once per signer, and report each fold, mean and standard deviation"
EPILOG = """examples:
  karsl loso configs/karsl100_loso.py --data-root data/karsl              one fold per signer of the data
  karsl loso configs/any_corpus_loso.py --data-root packed --ann-file annotations.json
                                                                          any other clips that have a signer
  karsl loso configs/karsl100_loso.py --streams joint bone joint_motion bone_motion
                                                                          one model per stream, and their fusion
  karsl report work_dirs/karsl100_loso/scores.npz --html report.html      the joined folds

The same command continues an interrupted run. Each fold has a folder <work dir>/[<stream>/]<signer> with checkpoints and
scores.npz; <work dir>/[<stream>/]scores.npz has the clips of all folds, and <work dir>/loso.json the results.
"""
FUSED = "fused"
SCORES = "scores.npz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = EPILOG
    parser.add_argument("config", metavar="CONFIG", help="config file; the signers that it selects are replaced")
    parser.add_argument("--work-dir", metavar="DIR", help="folder for all folds (default: work_dirs/<config name>)")
    parser.add_argument("--signers", nargs="+", default=(), metavar="NAME", help="signers to hold out (default: all)")
    parser.add_argument(
        "--streams",
        nargs="+",
        default=(),
        metavar="STREAM",
        help="train one model per stream of the keypoints: joint, bone, joint_motion, bone_motion; and fuse their scores",
    )
    parser.add_argument(
        "--weights", nargs="+", type=float, metavar="W", help="weights of the streams (default: equal weights)"
    )
    parser.add_argument("--amp", action="store_true", help="train with mixed precision; on a CPU with bfloat16")
    add_common_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the folds that are not done, then join, fuse and report."""
    from mmengine.dist import is_main_process

    from karsl.engine import enable_amp, launch, load_config, shut_down

    _check(args)
    import_user_modules(args.imports)
    cfg = load_config(args.config, args.cfg_options, data_root=args.data_root, ann_file=args.ann_file)
    cfg.work_dir = args.work_dir or cfg.work_dir
    if args.amp:
        enable_amp(cfg)
    try:
        launch(cfg, args.launcher)
        with suggest_data_root(args):
            held_out = _run_folds(cfg, args)
        if is_main_process():
            _report(Path(cfg.work_dir), args.streams, held_out, args.weights)
    finally:
        shut_down()
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.weights and len(args.weights) != len(args.streams):
        raise ConfigError(f"{len(args.weights)} --weights for {len(args.streams)} --streams; give one per stream")
    if FUSED in args.streams or len(set(args.streams)) != len(args.streams):
        raise ConfigError(f"--streams {' '.join(args.streams)}; give each stream once, the fusion is made of them")


def _run_folds(cfg: Config, args: argparse.Namespace) -> list[str]:
    """Train and test each fold that has no scores.

    Returns:
        The signers that were held out.

    Raises:
        ConfigError: If a signer or stream is unknown, or the work dir is of another config.
    """
    from karsl.datasets.records import normalize_signer
    from karsl.engine.config.folds import find_signers, set_fold
    from karsl.engine.config.streams import set_stream

    signers = find_signers(cfg)
    held_out = [normalize_signer(name) for name in args.signers] or signers
    unknown = sorted(set(held_out) - set(signers))
    if unknown:
        raise ConfigError(f"--signers {' '.join(unknown)}: no such signer; the training data has {', '.join(signers)}")
    work_dir = Path(cfg.work_dir)
    _check_config(cfg, work_dir)
    for stream in args.streams or ("",):
        for number, signer in enumerate(held_out, start=1):
            fold = copy.deepcopy(cfg)
            if stream:
                set_stream(fold, stream)
            set_fold(fold, signer, signers)
            folder = _folder(work_dir, stream, signer)
            name = f"fold {number} of {len(held_out)}, signer {signer}{f', stream {stream}' if stream else ''}"
            _run_fold(fold, folder, name)
    return held_out


def _run_fold(cfg: Config, folder: Path, name: str) -> None:
    """Train from the latest checkpoint of the folder, if there is one, and write the scores of the test clips."""
    from mmengine.dist import barrier

    from karsl.cli.test import evaluate_checkpoint
    from karsl.engine import build_runner
    from karsl.engine.checkpoint import latest_checkpoint

    if (folder / SCORES).is_file():
        print(f"{name}: done", flush=True)
        return
    print(f"{name}: {folder}", flush=True)
    cfg.work_dir = str(folder)
    test_cfg = copy.deepcopy(cfg)
    cfg.resume, cfg.load_from = (True, None) if latest_checkpoint(folder) else (False, cfg.get("load_from"))
    cfg.experiment_name = f"{folder.name}_train_{time.time_ns()}"  # names of MMEngine's loggers in one process
    build_runner(cfg).train()
    barrier()  # until the first process has written the last checkpoint
    test_cfg.experiment_name = f"{folder.name}_test_{time.time_ns()}"
    checkpoint = _best_checkpoint(folder) or latest_checkpoint(folder)
    if checkpoint is None:
        raise ConfigError(f"{folder}: the training saved no checkpoint to test; add a CheckpointHook to the config")
    evaluate_checkpoint(test_cfg, checkpoint, folder / SCORES)


def _best_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint that `save_best` of MMEngine's CheckpointHook kept, None if there is none."""
    found = sorted(folder.glob("best_*.pth"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def _folder(work_dir: Path, stream: str, signer: str) -> Path:
    """Return the folder of a fold: another one for each signer, inside the work dir, whatever the name is."""
    return work_dir / stream / re.sub(r"^\.|[^\w.-]", lambda found: f"%{ord(found[0]):02X}", signer)


def _check_config(cfg: Config, work_dir: Path) -> None:
    """Store the config of all folds; refuse to continue folds of another one.

    Raises:
        ConfigError: If the work dir has folds of another config; names the first difference.
    """
    from mmengine.dist import is_main_process

    from karsl.io.atomic import atomic_path

    path, text = work_dir / "loso_config.py", cfg.pretty_text
    if path.is_file():
        stored = path.read_text(encoding="utf-8")
        if stored != text:
            pairs = zip([*stored.splitlines(), ""], [*text.splitlines(), ""], strict=False)
            old, new = next((pair for pair in pairs if pair[0] != pair[1]), ("", ""))
            raise ConfigError(
                f"{work_dir} has folds of another config: '{old.strip()}', now '{new.strip()}'; give another --work-dir"
            )
    elif is_main_process():
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _report(work_dir: Path, streams: Sequence[str], signers: Sequence[str], weights: Sequence[float] | None) -> None:
    """Join the folds of each stream, fuse the streams, print the results and write `loso.json`."""
    from dataclasses import replace

    from karsl.evaluation import fuse_scores, join_folds, read_scores, write_scores
    from karsl.io.atomic import atomic_path

    if len(streams) > 1:
        for signer in signers:
            files = [read_scores(_folder(work_dir, stream, signer) / SCORES) for stream in streams]
            write_scores(_folder(work_dir, FUSED, signer) / SCORES, fuse_scores(files, weights))
    results = {}
    for stream in [*streams, FUSED] if len(streams) > 1 else streams or [""]:
        folds = [read_scores(_folder(work_dir, stream, signer) / SCORES) for signer in signers]
        joined = work_dir / stream / SCORES
        write_scores(joined, replace(join_folds(folds), path=str(joined)))
        results[stream or "folds"] = _summarize(signers, folds)
        print(f"scores of all folds: {joined}")
    _print(results)
    with atomic_path(work_dir / "loso.json") as temporary:
        temporary.write_text(json.dumps(results, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"results: {work_dir / 'loso.json'}")


def _summarize(signers: Sequence[str], folds: Sequence[Any]) -> dict[str, Any]:
    """Return metrics with intervals per fold, and their mean and sample standard deviation over the folds."""
    import numpy as np

    from karsl.evaluation import evaluate

    reports = [evaluate(scores) for scores in folds]
    rows = [
        {"signer": signer, "clips": report["clips"], "metrics": report["metrics"]}
        for signer, report in zip(signers, reports, strict=True)
    ]
    summary = {}
    for name in reports[0]["metrics"]:
        values = [report["metrics"][name]["value"] for report in reports]
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
        summary[name] = {"mean": float(np.mean(values)), "std": deviation}
    return {"folds": rows, "summary": summary}


def _print(results: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    from karsl.progress import make_console

    for title, result in results.items():
        names = list(result["summary"])
        table = Table("signer")
        for name in ("clips", *names):
            table.add_column(name, justify="right")
        for fold in result["folds"]:
            values = [fold["metrics"][name] for name in names]
            texts = [f"{100 * v['value']:.2f} [{100 * v['low']:.1f}, {100 * v['high']:.1f}]" for v in values]
            table.add_row(Text(escape_controls(fold["signer"])), str(fold["clips"]), *texts)
        deviations = ["" if v["std"] is None else f" ± {100 * v['std']:.2f}" for v in result["summary"].values()]
        means = [f"{100 * v['mean']:.2f}{text}" for v, text in zip(result["summary"].values(), deviations, strict=True)]
        table.add_row("mean", str(sum(fold["clips"] for fold in result["folds"])), *means, style="bold")
        print(f"\n{title}, percent, with 95 % intervals; mean and standard deviation over the folds")
        make_console().print(table)
