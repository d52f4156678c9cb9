"""`karsl demo`: the whole way on made-up clips, each step a command that one could type."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

SUMMARY = "make synthetic clips, train, test on an unseen signer, show the results"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="where everything goes (default: demo_out)")
    parser.add_argument("--config", type=Path, default=Path("configs/demo.py"), help="what to train (default: %(default)s)")
    parser.add_argument("--epochs", type=int, help="train for fewer or more epochs than the config says")


def run(args: argparse.Namespace) -> int:
    """Run every step; the first that fails ends the demo with its status."""
    from karsl.errors import ConfigError
    from karsl.testing import make_corpus

    if not args.config.is_file():
        raise ConfigError(f"no config {str(args.config)!r}; run the demo in a clone of the project, or name one with --config")
    corpus, work, predictions = args.out / "karsl_synthetic", args.out / "train", args.out / "predictions.json"
    _make(corpus, make_corpus)
    epochs = ["--cfg-options", f"train_cfg.max_epochs={args.epochs}"] if args.epochs else []
    for step in (
        ["prepare", corpus],
        ["train", args.config, "--data-root", corpus, "--work-dir", work, *epochs],
        ["test", args.config, work / "last_checkpoint", "--data-root", corpus, "--work-dir", work, "--dump", predictions],
        ["browse", args.config, "--phase", "test", "--data-root", corpus, "-n", "8", "--output-dir", args.out / "sheets"],
        ["memory", args.config, "--data-root", corpus, "--json", args.out / "memory.json"],
    ):
        status = _run([_last_checkpoint(w) if w == work / "last_checkpoint" else w for w in step])
        if status:
            return status
    _report(args.out, predictions)
    return 0


def _make(corpus: Path, make_corpus) -> None:
    from rich.progress import Progress

    print(f"$ # synthetic clips in KArSL's layout, 8 signs, 3 signers -> {corpus}", flush=True)
    with Progress() as bar:
        task = bar.add_task("making clips", total=None)
        make_corpus(corpus, progress=lambda done, total: bar.update(task, completed=done, total=total))


def _run(step: list) -> int:
    words = [str(word) for word in step]
    print(f"\n$ karsl {shlex.join(words)}", flush=True)
    return subprocess.run([sys.executable, "-m", "karsl", *words], check=False).returncode


def _last_checkpoint(pointer: Path) -> Path:
    return Path(pointer.read_text(encoding="utf-8").strip())


def _report(out: Path, predictions: Path) -> None:
    content = json.loads(predictions.read_text(encoding="utf-8"))
    clips, classes = content["predictions"], content["classes"]
    right = sum(clip["pred_label"] == clip["gt_label"] for clip in clips)
    print(
        f"\nThe demo is done. Of {len(clips)} clips of a signer that was never trained on, {right} "
        f"({right / len(clips):.0%}) were recognised; guessing would get {1 / len(classes):.0%}.\n"
        f"  clips        {out / 'karsl_synthetic'}\n  checkpoints  {out / 'train'}\n  predictions  {predictions}\n"
        f"  sheets       {out / 'sheets'}\n  memory       {out / 'memory.json'}"
    )
