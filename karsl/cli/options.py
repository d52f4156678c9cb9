"""Options shared by several commands."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from karsl.errors import ConfigError, DataErrors, DatasetNotFoundError

if TYPE_CHECKING:
    from karsl.io.missing import MissingPoints
    from karsl.io.sources import ClipSource

__all__ = [
    "add_cfg_options",
    "add_data_options",
    "add_hands",
    "add_import",
    "add_label_sheet",
    "add_missing",
    "add_layout",
    "add_person",
    "add_phase",
    "add_skip_bad",
    "add_source",
    "add_source_skeleton",
    "add_trust_pickle",
    "import_user_modules",
    "missing_points",
    "open_source",
    "print_skipped",
    "repair_hands",
    "layout_arguments",
    "suggest_data_root",
]


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add `--cfg-options key=value ...`, parsed by the rules of MMEngine.

    `args.cfg_options` is a dict from dotted keys to values, or None without the option.

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


def add_data_options(parser: argparse.ArgumentParser, data_root: str = "data root of every dataset in the config") -> None:
    """Add `--data-root`, `--ann-file` and `--import`.

    Args:
        parser: Parser of the command.
        data_root: Help text of `--data-root`.
    """
    parser.add_argument("--data-root", metavar="DIR", help=data_root)
    parser.add_argument(
        "--ann-file",
        metavar="FILE",
        help="annotation file of every dataset, written by 'karsl prepare', relative to the data root (default: that of the "
        "config; without one, the folders are scanned)",
    )
    add_import(parser)


def add_import(parser: argparse.ArgumentParser) -> None:
    """Add `--import MODULE`; `args.imports` is a list."""
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="module that registers formats, skeletons, datasets or transforms, imported first; may be repeated",
    )


def add_label_sheet(parser: argparse._ActionsContainer) -> None:
    """Add `--label-sheet`."""
    parser.add_argument(
        "--label-sheet",
        type=Path,
        metavar="FILE",
        help="label table: csv, xlsx or json with SignID, Sign-Arabic, Sign-English",
    )


def add_missing(parser: argparse._ActionsContainer) -> None:
    """Add `--nonfinite` and `--missing`; see `missing_points`."""
    parser.add_argument(
        "--nonfinite",
        choices=("raise", "missing"),
        default="raise",
        help="missing: points that are NaN or infinite are missing (default: they are an error)",
    )
    parser.add_argument(
        "--missing",
        choices=("minus_one", "zero_xy"),
        action="append",
        default=[],
        help="points at (-1, -1), or at (0, 0) with any z, are missing, as other detectors write them; may be repeated "
        "(default: only points at (0, 0, 0))",
    )


def missing_points(args: argparse.Namespace) -> MissingPoints:
    """Return the rules of `--nonfinite` and `--missing`."""
    from karsl.io.missing import MissingPoints

    return MissingPoints(args.nonfinite, tuple(dict.fromkeys(args.missing)))


def add_skip_bad(parser: argparse._ActionsContainer) -> None:
    """Add `--skip-bad`."""
    parser.add_argument(
        "--skip-bad", action="store_true", help="read every clip first, leave out those that cannot be read, and list them"
    )


def print_skipped(source: object, problems: Sequence[str]) -> None:
    """Print the problems of the clips that were left out, if any."""
    if problems:
        print(f"skipped, {DataErrors(str(source), problems)}")


def add_hands(parser: argparse._ActionsContainer) -> None:
    """Add `--hands`; see `repair_hands`."""
    parser.add_argument(
        "--hands",
        choices=("as-stored", "by-wrist"),
        default="as-stored",
        help="by-wrist: exchange left and right hand in frames where they are at the wrists of the other arms, and record "
        "the number of these frames (default: %(default)s)",
    )


def repair_hands(args: argparse.Namespace, source: ClipSource) -> ClipSource:
    """Return a source with the hands that `--hands` asks for, and print what is changed."""
    if args.hands == "as-stored":
        return source
    from karsl.audit.repair import HandsByWrist
    from karsl.io.sources import RemappedSource
    from karsl.progress import tracker

    stored = source.source if isinstance(source, RemappedSource) else source  # which may have arms that the target lacks
    repaired = HandsByWrist(stored, tracker("assigning hands"))
    print(repaired.summary)
    return repaired if stored is source else RemappedSource(repaired, source.skeleton)


def add_layout(parser: argparse._ActionsContainer, source: str) -> None:
    """Add `--layout`, `--pattern` and `--labels`, which describe array files.

    Args:
        parser: Parser of the command, or a group of it.
        source: Name of the input in the help text.
    """
    parser.add_argument(
        "--layout",
        metavar="TEXT",
        help=f"what the numbers in the .npy, .npz, .pt or .h5 files of {source} are: a skeleton name, columns such as "
        "'pose:33x4, lh:21x3, rh:21x3', arrays such as 'pose=body, lh=left, rh=right', or a name such as holistic_1662; "
        "options follow after ';', as in 'coco_17; axes=CTV; score=2; missing=nan; size=1280x720' (default: guessed)",
    )
    parser.add_argument(
        "--pattern",
        metavar="PATTERN",
        help="files to read: 'shard_*.npy', or a regular expression with named groups such as "
        r"'(?P<signer>\d+)_(?P<label>\w+)', which become keys of the records (default: all)",
    )
    parser.add_argument(
        "--labels",
        metavar="FROM",
        help="labels of the clips: folder, file, none, or a csv, json or npy file (default: what there is)",
    )


def layout_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `open_clips` and `scan_arrays` from the options of `add_layout`."""
    return {"layout": args.layout, "pattern": args.pattern, "labels": args.labels}


def add_source_skeleton(parser: argparse._ActionsContainer, source: str, *more: str) -> None:
    """Add `--source-skeleton NAME`, the skeleton of files that do not name one.

    Args:
        parser: Parser of the command, or a group of it.
        source: Name of the input in the help text.
        more: Other spellings of the option.
    """
    parser.add_argument(
        "--source-skeleton",
        *more,
        metavar="NAME",
        help=f"skeleton of {source} if it does not name one (default: karsl_184)",
    )


def add_source(parser: argparse._ActionsContainer, source: str, *skeleton_options: str) -> None:
    """Add every option by which `open_source` opens clips.

    Args:
        parser: Parser of the command, or a group of it.
        source: Name of the input in the help text.
        skeleton_options: Other spellings of `--source-skeleton`.
    """
    parser.add_argument("--from", dest="format", metavar="FORMAT", help=f"format of {source} (default: detected)")
    add_source_skeleton(parser, source, *skeleton_options)
    add_layout(parser, source)
    add_missing(parser)
    add_person(parser)
    add_label_sheet(parser)
    add_trust_pickle(parser)


def open_source(args: argparse.Namespace, path: Path, *, skeleton: str | None = None, skip_bad: bool = False) -> ClipSource:
    """Open clips by the options of `add_source`.

    Args:
        args: Options of the command.
        path: File or folder.
        skeleton: Skeleton of the clips without `--source-skeleton`.
        skip_bad: Leave out clips that cannot be read, see `open_clips`.
    """
    from karsl.formats import open_clips
    from karsl.progress import tracker

    return open_clips(
        path,
        format=args.format,
        skeleton=args.source_skeleton or skeleton,
        trusted=args.trust_pickle,
        label_table=args.label_sheet,
        **layout_arguments(args),
        progress=tracker("listing clips"),
        missing=missing_points(args),
        person=args.person,
        skip_bad=skip_bad,
    )


def add_phase(parser: argparse._ActionsContainer, meaning: str) -> None:
    """Add `--phase`.

    Args:
        parser: Parser of the command, or a group of it.
        meaning: Help text.
    """
    phases = ("train", "val", "test")
    parser.add_argument("--phase", choices=phases, default="train", help=f"{meaning} (default: train)")


def add_person(parser: argparse._ActionsContainer) -> None:
    """Add `--person`."""
    parser.add_argument(
        "--person",
        type=int,
        metavar="N",
        help="person to read of clips with several, by position from 0 (default: the most visible one or, without graded "
        "scores, the one that moves most)",
    )


def add_trust_pickle(parser: argparse._ActionsContainer) -> None:
    """Add `--trust-pickle FILE`; `args.trust_pickle` is a list of paths."""
    parser.add_argument(
        "--trust-pickle",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="pickle file, or folder of them, that may be read, without running code in it; may be repeated",
    )


def import_user_modules(names: Sequence[str]) -> None:
    """Import the modules of `--import`.

    Raises:
        ConfigError: If there is no such module.
    """
    for name in names:
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            raise ConfigError(
                f"--import {name}: no module '{error.name}'; if it is in this folder, start with 'PYTHONPATH=. karsl ...'"
            ) from error


@contextmanager
def suggest_data_root(args: argparse.Namespace) -> Iterator[None]:
    """Add the option `--data-root`, unless it was given, to the error of a missing data root."""
    try:
        yield
    except DatasetNotFoundError as error:
        if args.data_root is not None or "data_root=" not in str(error):
            raise
        raise DatasetNotFoundError(f"{error}; --data-root DIR selects another folder") from error


class _CfgOptions(argparse.Action):
    """`mmengine.DictAction`, imported when the option is used, so that `karsl --help` needs no MMEngine."""

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
                parser.error(f"{option_string} '{pair}' does not have the form key=value")
        from mmengine.config import DictAction

        action = DictAction(option_strings=self.option_strings, dest=self.dest, nargs="+")
        try:
            action(parser, namespace, pairs, option_string)
        except AssertionError as error:  # MMEngine asserts that brackets balance
            parser.error(f"{option_string}: {error}")
