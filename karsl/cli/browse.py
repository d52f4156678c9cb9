"""`karsl browse`: clips as pages, sheets, moving pictures, or served to a browser; with a config, through its pipeline."""

from __future__ import annotations

import argparse
from pathlib import Path

from karsl.cli.options import (
    add_cfg_options,
    add_data_options,
    add_phase,
    add_source_skeleton,
    add_trust_pickle,
    import_modules,
    suggest_data_root,
)

SUMMARY = "look at clips, raw and transformed: a page, sheets, moving pictures, or a local server"

FORMATS = ("html", "sheet", "gif", "webp", "mp4")
EPILOG = """examples:
  karsl browse data/karsl                                     12 clips of a folder as sheets
  karsl browse data/karsl --serve                             all of it, in the browser, on this machine only
  karsl browse config.py --format html --draws 4              a page to send: each step, and four draws of the random ones
  karsl browse config.py --mode pipeline --index 7            one clip after each step, as a sheet
  karsl browse data/karsl --sign 71 hello --per-sign 8        one sheet a sign with eight of its clips
  karsl browse clip.pose --format mp4                         a video that browsers play
"""
_COUNTS = {"html": 100}  # the other formats: 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options, named as in MMEngine's browse_dataset where they mean the same."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument(
        "source", metavar="SOURCE", help="config, or a folder or file of clips: data root, pack, .npz, .npy, .pose, ..."
    )
    _add_what(parser.add_argument_group("what is shown"))
    _add_how(parser.add_argument_group("how it is shown"))
    data = parser.add_argument_group("where clips come from")
    data.add_argument("--from", dest="form", metavar="FORM", help="form of a folder or file (default: guessed)")
    add_source_skeleton(data, "SOURCE", "--skeleton")
    add_trust_pickle(data)
    add_data_options(parser)
    add_cfg_options(parser)


def _add_what(what: argparse._ArgumentGroup) -> None:
    add_phase(what, "which dataset of the config")
    what.add_argument(
        "--mode",
        choices=("original", "transformed", "concat", "pipeline"),
        help="the clip as loaded, as the pipeline leaves it, both, or after every step (default: concat; pages: pipeline)",
    )
    what.add_argument("--draws", type=int, default=1, metavar="N", help="run random steps N times (default: 1)")
    what.add_argument("-n", "--show-number", type=int, metavar="N", help="clips; 0 is all (default: 12, a page 100)")
    what.add_argument("--per-sign", type=int, default=0, metavar="N", help="N clips of each sign; as sheets, one a sign")
    what.add_argument("--sign", nargs="+", default=(), help="SignIDs, or parts of English or Arabic glosses")
    what.add_argument("--signer", nargs="+", default=(), help="signers, such as 01")
    what.add_argument("--split", nargs="+", default=(), help="splits, such as train")
    what.add_argument("--sort", choices=("index", "sign", "length"), default="index", help="order (default: index)")
    what.add_argument("--seed", type=int, help="choose clips, and draw augmentations, by chance of this seed")
    what.add_argument("--index", type=int, nargs="+", default=(), help="exactly these clips of the dataset")


def _add_how(how: argparse._ArgumentGroup) -> None:
    how.add_argument("--format", choices=FORMATS, default="sheet", help="what is written (default: sheet)")
    how.add_argument(
        "--output-dir", type=Path, default=Path("work_dirs/browse"), help="folder to write to (default: %(default)s)"
    )
    how.add_argument(
        "--not-show", action="store_true", help="write only; else the result is opened where there is a display"
    )
    how.add_argument(
        "--show-interval", type=float, default=0, metavar="S", help="open every picture, S seconds apart (default: only one)"
    )
    how.add_argument("--serve", action="store_true", help="write nothing: serve all clips on 127.0.0.1 until Ctrl-C")
    how.add_argument("--port", type=int, default=0, help="of --serve (default: a free one)")


def run(args: argparse.Namespace) -> int:
    """Choose clips, write what shows them or serve them, say where they lie."""
    import torch

    from karsl.cli.browse_source import open_browsed
    from karsl.errors import ConfigError

    _check(args)
    import_modules(args.imports)
    torch.set_num_threads(1)  # one clip after the other: threads would wait for each other to copy a few KB
    with suggest_data_root(args):
        dataset = open_browsed(args, count=_count(args))
    if args.serve:
        from karsl.cli.browse_serve import serve_until_interrupted

        return serve_until_interrupted(dataset, args)
    from karsl.cli.browse_write import write_browsed
    from karsl.visualization.clips.choice import ClipFilter, choose_clips

    if args.show_interval < 0:
        raise ConfigError(f"--show-interval {args.show_interval:g}; expected seconds, 0 or more")
    keep = ClipFilter(tuple(args.sign), tuple(args.signer), tuple(args.split))
    places = choose_clips(
        dataset, count=_count(args), indices=args.index, keep=keep, sort=args.sort, seed=args.seed, per_sign=args.per_sign
    )
    return write_browsed(args, dataset, places)


def _count(args: argparse.Namespace) -> int:
    if args.serve and args.show_number is None:
        return 100  # of a stream; all of anything else are served
    return _COUNTS.get(args.format, 12) if args.show_number is None else args.show_number


def _check(args: argparse.Namespace) -> None:
    from karsl.errors import ConfigError

    if args.show_number is not None and args.show_number < 0:
        raise ConfigError(f"-n {args.show_number}; expected 0 for all clips, or a positive number")
    for option, value, least in (("--draws", args.draws, 1), ("--per-sign", args.per_sign, 0)):
        if value < least:
            raise ConfigError(f"{option} {value}; expected a number of at least {least}")
    if not 0 <= args.port < 1 << 16:
        raise ConfigError(f"--port {args.port}; expected 0 to 65535")
