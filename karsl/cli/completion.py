"""`karsl completion`: print the script by which a shell completes commands and options."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from karsl.errors import missing_extra

SUMMARY = "print the script that completes commands and options in a shell"
_SHELLS = ("bash", "zsh", "fish")
_PATHS = ("FILE", "DIR", "PATH", "CHECKPOINT")  # of options
_EXAMPLES = """\
examples:
  karsl completion bash > ~/.local/share/bash-completion/completions/karsl
  karsl completion zsh > ~/.zfunc/_karsl     with fpath+=~/.zfunc before compinit in ~/.zshrc
  karsl completion fish > ~/.config/fish/completions/karsl.fish"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = _EXAMPLES
    parser.add_argument("shell", choices=_SHELLS, help="shell that reads the script")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    try:
        import shtab
    except ModuleNotFoundError as error:
        raise missing_extra("completion", "shtab") from error
    main = import_module("karsl.cli.main")  # which runs this module
    parser = argparse.ArgumentParser(prog="karsl")
    commands = parser.add_subparsers()
    for name in main.COMMANDS:
        module = import_module(f"karsl.cli.{name}")
        command = commands.add_parser(name, help=module.SUMMARY)
        module.add_arguments(command)
        command.add_argument(main.DEBUG, action="store_true", help=main.DEBUG_HELP)
        command.description = module.SUMMARY  # zsh shows it in one line
        for action in command._actions:
            if _is_path(action):
                action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks for it
    print(shtab.complete(parser, args.shell))
    return 0


def _is_path(action: argparse.Action) -> bool:
    is_positional = not action.option_strings and not action.choices
    return is_positional or action.type is Path or action.metavar in _PATHS
