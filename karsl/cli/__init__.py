"""The command table: one module per command, `karsl/cli/<name>.py`.

A command module has `SUMMARY` (one line), `add_arguments(parser)` and `run(args) -> int`. It imports heavy packages inside
`run`, so that `karsl --help` can read every summary without torch.
"""

from __future__ import annotations

__all__ = ["COMMANDS"]

COMMANDS = ("prepare", "pack", "convert", "train", "test", "browse", "memory", "bench", "demo")
