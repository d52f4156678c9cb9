"""The command table: one file per command, `karsl/cli/<name>.py`.

A command file holds `SUMMARY` (one line), `add_arguments(parser)` and `run(args) -> int`. It imports
what is heavy inside `run`, so that `karsl --help` can read every summary without torch.
"""

from __future__ import annotations

__all__ = ["COMMANDS"]

COMMANDS = ("prepare", "pack", "convert", "train", "test", "browse", "memory", "bench", "demo")
