"""`karsl demo`: the whole way on made-up clips, each step a command that one could type."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from karsl.progress import bar

SUMMARY = "make synthetic clips, train, test on an unseen signer, show the results"

# MMEngine logs environment, config and hooks at each start, some 300 lines; these are the ones to watch a run by.
_PROGRESS = re.compile(r"Epoch\((?:train|val|test)\).*|^(?:checkpoint|logs|predictions|acc/\w+|nothing to resume)\b.*")
_QUIET_STEPS = ("train", "test")
_TAIL = 15


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument(
        "--out", type=Path, default=Path("demo_out"), help="folder to write everything to (default: demo_out)"
    )
    parser.add_argument("--config", type=Path, default=Path("configs/demo.py"), help="what to train (default: %(default)s)")
    parser.add_argument("--epochs", type=int, help="train for fewer or more epochs than the config says")


def run(args: argparse.Namespace) -> int:
    """Run every step; the first that fails ends the demo with its status."""
    from karsl.engine.config.shipped import find_config
    from karsl.errors import ConfigError
    from karsl.testing import make_corpus

    if not find_config(args.config).is_file():
        raise ConfigError(f"no config {str(args.config)!r}; name another with --config")
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
        words = [str(_last_checkpoint(w) if w == work / "last_checkpoint" else w) for w in step]
        status = run_step(words, args.out / "logs" / f"{words[0]}.log")
        if status:
            return status
    _report(args.out, predictions)
    return 0


def _make(corpus: Path, make_corpus) -> None:
    print(f"$ # synthetic clips in KArSL's layout, 8 signs, 3 signers -> {corpus}", flush=True)
    with bar("making clips", None) as tell:
        make_corpus(corpus, progress=tell)


def run_step(words: list[str], log: Path) -> int:
    """Run `karsl` with some words; everything goes to `log`, what one wants to watch also to the screen as it comes.

    Returns:
        The exit status; when it is not 0, the end of the log was shown.
    """
    print(f"\n$ karsl {shlex.join(words)}", flush=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    quiet = words[0] in _QUIET_STEPS
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": str(shutil.get_terminal_size((120, 24)).columns)}
    # The other steps show their progress on stderr, which stays a terminal for them.
    errors = subprocess.STDOUT if quiet else None
    piped: dict = {"stdout": subprocess.PIPE, "stderr": errors, "env": env, "encoding": "utf-8", "errors": "replace"}
    command = [sys.executable, "-m", "karsl", *words]
    with log.open("w", encoding="utf-8") as file, subprocess.Popen(command, **piped) as step:
        for line in step.stdout or ():
            file.write(line)
            shown = progress_line(line) if quiet else line.rstrip("\n")
            if shown is not None:
                print(shown, flush=True)
    if step.returncode and quiet:
        print("".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[-_TAIL:]), end="", file=sys.stderr)
        print(f"karsl demo: step '{words[0]}' failed, its whole output is in {log}", file=sys.stderr)
    return step.returncode


def progress_line(line: str) -> str | None:
    """What to show of a line that `karsl train` or `test` printed, None for nothing.

    Example:
        >>> progress_line("2026/01/31 10:00:00 - mmengine - INFO - Epoch(train)  [1][20/90]  loss: 2.1\\n")
        'Epoch(train)  [1][20/90]  loss: 2.1'
        >>> progress_line("    CUDA available: False\\n") is None
        True
    """
    found = _PROGRESS.search(line.rstrip())
    return found[0] if found else None


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
        f"  sheets       {out / 'sheets'}\n  memory       {out / 'memory.json'}\n  full logs    {out / 'logs'}"
    )
