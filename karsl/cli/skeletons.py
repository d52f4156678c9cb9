"""`karsl skeletons`: list keypoint layouts, or the points of one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from karsl.cli.options import add_import, import_user_modules
from karsl.errors import pluralize

if TYPE_CHECKING:
    from karsl.skeletons import Skeleton

SUMMARY = "list the keypoint layouts, or the points of one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.description = (
        "List the skeletons that options such as --source-skeleton and --skeleton accept, with the number of points of each "
        "group, or print the index, name, group and mirror image of each point of NAME."
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="skeleton to print (default: list all)")
    parser.add_argument("--points", type=int, metavar="N", help="list only those with this number of points")
    add_import(parser)


def run(args: argparse.Namespace) -> int:
    """Print the list or the points."""
    from karsl.errors import ConfigError
    from karsl.skeletons import get_skeleton, skeleton_names

    import_user_modules(args.imports)
    if args.name is not None:
        _print_points(get_skeleton(args.name))
        return 0
    every = [get_skeleton(name) for name in skeleton_names()]
    found = [skeleton for skeleton in every if args.points in (None, skeleton.num_keypoints)]
    if not found:
        counts = ", ".join(map(str, sorted({skeleton.num_keypoints for skeleton in every})))
        raise ConfigError(f"--points {args.points}: no skeleton has that number; there are some of {counts}")
    for skeleton in found:
        groups = ", ".join(f"{group} {len(names)}" for group, names in skeleton.parts)
        print(f"{skeleton.name:20} {skeleton.num_keypoints:3} points: {groups}")
    return 0


def _print_points(skeleton: Skeleton) -> None:
    from karsl.skeletons import mirror_name

    print(f"{skeleton.name}: {skeleton.num_keypoints} points, {pluralize(len(skeleton.bones), 'bone')}")
    known = set(skeleton.names)
    index = 0
    for group, names in skeleton.parts:
        for name in names:
            mirrored = mirror_name(name)
            suffix = f"  mirror {skeleton.index(mirrored)}" if mirrored != name and mirrored in known else ""
            print(f"{index:4}  {group:5} {name}{suffix}")
            index += 1
