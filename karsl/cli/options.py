"""Options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

__all__ = ["add_cfg_options"]


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add `--cfg-options key=value ...`, read by MMEngine's own rules.

    The parsed value is `args.cfg_options`: a dict from dotted keys to values, None without the option.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_cfg_options(parser)
        >>> parser.parse_args(["--cfg-options", "train_cfg.max_epochs=2", "a=[1,x]"]).cfg_options
        {'train_cfg.max_epochs': 2, 'a': [1, 'x']}
    """
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=_CfgOptions,
        metavar="KEY=VALUE",
        help="override values of the config, as in 'train_cfg.max_epochs=2 optim_wrapper.optimizer.lr=1e-3'",
    )


class _CfgOptions(argparse.Action):
    """`mmengine.DictAction`, imported when the option is used: `karsl --help` needs no MMEngine."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        pairs = [values] if isinstance(values, str) else list(values or ())
        for pair in pairs:
            key, equals, _ = str(pair).partition("=")
            if not equals or not key:
                parser.error(f"{option_string} '{pair}' is not of the form key=value")
        from mmengine.config import DictAction

        action = DictAction(option_strings=self.option_strings, dest=self.dest, nargs="+")
        try:
            action(parser, namespace, pairs, option_string)
        except AssertionError as error:  # MMEngine asserts that brackets balance
            parser.error(f"{option_string}: {error}")
