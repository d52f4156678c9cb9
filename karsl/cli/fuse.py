"""`karsl fuse`: weighted mean of the scores of several models."""

from __future__ import annotations

import argparse
from pathlib import Path

from karsl.errors import ConfigError, pluralize

SUMMARY = "combine score files of several models, such as joint, bone and motion streams"
EPILOG = """examples:
  karsl fuse joint.npz bone.npz motion.npz --weights 2 2 1 --out fused.npz
  karsl fuse joint.npz bone.npz --search val_joint.npz val_bone.npz      weights chosen on validation clips
  karsl report joint.npz fused.npz                                       what fusion changed
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = EPILOG
    parser.add_argument("files", nargs="+", type=Path, metavar="SCORES", help="score files of the same clips, one per model")
    parser.add_argument("--weights", nargs="+", type=float, metavar="W", help="one weight per file (default: equal weights)")
    parser.add_argument(
        "--search",
        nargs="+",
        type=Path,
        metavar="SCORES",
        help="find the weights with the best top-1 accuracy on these score files of validation clips, one per model in the "
        "same order",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("fused.npz"), metavar="FILE", help="score file to write (default: fused.npz)"
    )


def run(args: argparse.Namespace) -> int:
    """Fuse, write the score file and print the accuracy of each file."""
    from dataclasses import replace

    from karsl.evaluation import fuse_scores, read_scores, search_weights, write_scores

    _check(args)
    files = [read_scores(path) for path in args.files]
    weights = args.weights
    if args.search:
        weights, top1 = search_weights([read_scores(path) for path in args.search], files[0])
        print(f"weights: {' '.join(f'{w:g}' for w in weights)} (top-1 on the validation clips: {100 * top1:.2f} %)")
    fused = replace(fuse_scores(files, weights), path=str(args.out))
    write_scores(args.out, fused)
    _print([*files, fused])
    print(f"scores: {args.out}")
    return 0


def _check(args: argparse.Namespace) -> None:
    if len(args.files) < 2:
        raise ConfigError(f"'{args.files[0]}' alone cannot be fused; give score files of at least two models")
    if args.weights and args.search:
        raise ConfigError("--weights and --search exclude each other; remove one")
    if args.search and len(args.search) != len(args.files):
        raise ConfigError(
            f"--search has {len(args.search)} score files of validation clips for {pluralize(len(args.files), 'model')}; "
            "give one per model"
        )


def _print(files: list) -> None:
    from karsl.evaluation import rank_of_true_class

    if (files[0].label < 0).any():
        return
    for scores in files:
        print(f"{100 * (rank_of_true_class(scores.scores, scores.label) == 0).mean():6.2f} % top-1: {scores.path}")
