"""Command line: one module per command, `karsl/cli/<name>.py`, run by `main`.

A command module has `SUMMARY` (one line), `add_arguments(parser)` and `run(args) -> int`. It imports heavy packages inside
`run`, so that `karsl --help` can read every summary without torch.
"""
