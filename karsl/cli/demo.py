"""`karsl demo`: all commands in sequence on synthetic clips."""

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

from karsl.errors import ConfigError, pluralize

SUMMARY = "make synthetic clips, train, test on an unseen signer and show the results"

# MMEngine logs environment, config and hooks at each start, some 300 lines; only these show progress.
_PROGRESS = re.compile(r"Epoch\((?:train|val|test)\).*|^(?:checkpoint|logs|predictions|acc/\w+|nothing to resume)\b.*")
_QUIET_COMMANDS = ("train", "test")
_TAIL_LINES = 15


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--out", type=Path, metavar="DIR", default=Path("demo_out"), help="folder for all files (default: demo_out)"
    )
    parser.add_argument(
        "--config", type=Path, default=Path("configs/demo.py"), help="config to train (default: %(default)s)"
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="number of epochs (default: that of the config)")


def run(args: argparse.Namespace) -> int:
    """Run every command; the first that fails ends the demo with its status."""
    from karsl.engine.config.load import find_config
    from karsl.progress import bar
    from karsl.testing import make_corpus

    if not find_config(args.config).is_file():
        raise ConfigError(f"no config {str(args.config)!r}; give another with --config")
    corpus, work, predictions = args.out / "karsl_synthetic", args.out / "train", args.out / "predictions.json"
    print(f"$ # synthetic clips in KArSL's layout, 8 signs, 3 signers -> {corpus}", flush=True)
    with bar("making clips", None) as progress:
        make_corpus(corpus, progress=progress)
    epochs = ["--cfg-options", f"train_cfg.max_epochs={args.epochs}"] if args.epochs else []
    for command in (
        ["prepare", corpus],
        ["train", args.config, "--data-root", corpus, "--work-dir", work, *epochs],
        ["test", args.config, work / "last_checkpoint", "--data-root", corpus, "--work-dir", work, "--dump", predictions],
        ["browse", args.config, "--phase", "test", "--data-root", corpus, "-n", "8", "--output-dir", args.out / "sheets"],
        ["memory", args.config, "--data-root", corpus, "--json", args.out / "memory.json"],
    ):
        words = [str(_last_checkpoint(w) if w == work / "last_checkpoint" else w) for w in command]
        status = run_command(words, args.out / "logs" / f"{words[0]}.log")
        if status:
            return status
    _report(args.out, predictions)
    return 0


def run_command(words: list[str], log: Path) -> int:
    """Run a command of `karsl`, write its output to `log`, and print the lines that show progress.

    Returns:
        The exit status. If it is not 0, the end of the log was printed.
    """
    print(f"\n$ karsl {shlex.join(words)}", flush=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    quiet = words[0] in _QUIET_COMMANDS
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": str(shutil.get_terminal_size((120, 24)).columns)}
    # The other commands show progress bars on stderr, which remains a terminal for them.
    errors = subprocess.STDOUT if quiet else None
    piped: dict = {"stdout": subprocess.PIPE, "stderr": errors, "env": env, "encoding": "utf-8", "errors": "replace"}
    command = [sys.executable, "-m", "karsl", *words]
    with log.open("w", encoding="utf-8") as file, subprocess.Popen(command, **piped) as process:
        for line in process.stdout or ():
            file.write(line)
            shown = progress_line(line) if quiet else line.rstrip("\n")
            if shown is not None:
                print(shown, flush=True)
    if process.returncode and quiet:
        print("".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[-_TAIL_LINES:]), end="", file=sys.stderr)
        print(f"karsl demo: '{words[0]}' failed, see {log} for its entire output", file=sys.stderr)
    return process.returncode


def progress_line(line: str) -> str | None:
    """Return the part of a line of `karsl train` or `karsl test` to print, None for nothing.

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
    correct = sum(clip["pred_label"] == clip["gt_label"] for clip in clips)
    print(
        f"\nThe demo is done. Of {pluralize(len(clips), 'clip')} of a signer not in the training data, {correct} "
        f"({correct / len(clips):.0%}) were recognized; guessing would get {1 / len(classes):.0%}.\n"
        f"  clips        {out / 'karsl_synthetic'}\n  checkpoints  {out / 'train'}\n  predictions  {predictions}\n"
        f"  sheets       {out / 'sheets'}\n  memory       {out / 'memory.json'}\n  full logs    {out / 'logs'}"
    )
