"""An argument parser whose errors are one sentence with a suggestion."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from karsl.errors import did_you_mean


class Parser(argparse.ArgumentParser):
    """`ArgumentParser` without abbreviations, with one-line errors and exit status 2."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **kwargs})

    @property
    def option_strings(self) -> list[str]:
        """Every option of this parser, short and long."""
        return [option for action in self._actions for option in action.option_strings]

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, options anywhere between the words, and name the nearest option for one that does not exist."""
        parsed, unknown = self.parse_known_intermixed_args(args, namespace)
        if unknown:
            word = unknown[0]
            hint = did_you_mean(word.split("=")[0], self.option_strings) if word.startswith("-") else ""
            self.error(f"unknown argument '{word}'{hint}")
        return parsed

    def error(self, message: str) -> NoReturn:
        """Print one sentence and leave with exit status 2."""
        end = "" if message.endswith("?") else ";"
        self.exit(2, f"{self.prog}: {message}{end} see '{self.prog} --help'\n")
