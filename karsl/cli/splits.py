"""`karsl splits`: make, show and verify the split files of a corpus."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from karsl.cli.options import add_import, add_source, import_user_modules, open_source
from karsl.errors import ConfigError, DataErrors, pluralize

if TYPE_CHECKING:
    from karsl.datasets.splits import Split

SUMMARY = "make, show and verify the training, validation and test parts of a corpus"
_DESCRIPTION = """\
  make SOURCE OUT         write one split file per fold of a protocol to the folder OUT, or a single one to OUT.json
  show FILE...            print name, hash and parts of split files
  verify SOURCE FILE...   compare split files with a corpus

A dataset reads a part with filter_cfg=dict(split_file=FILE, part='train'), 'karsl train --split-file FILE' all parts. A clip
or content in two parts is an error, and so is a signer or session in two parts that the protocol separates.

protocols:
  shipped        the parts that the corpus ships; for KArSL, the signer-dependent protocol; see --signers, --train, --test
  leave-one-out  one fold per signer, or other field (--by): all its clips are tested, and the others' train parts trained on
  k-fold         --folds parts of about equal size, by signer, session or clip (--by); each is tested once
  k-shot         --shots training clips per class
  random         by a hash of the clip's id, or of another field (--by); a clip stays in its part when the corpus grows"""
_EXAMPLES = """\
examples:
  karsl splits make data/karsl data/karsl/splits --protocol leave-one-out --val-by session
  karsl splits make data/corpus split.json --protocol random --by clip --val-by clip      for a corpus without parts
  karsl splits make ntu.pkl xsub.json --protocol shipped --train xsub_train --test xsub_val --trust-pickle ntu.pkl
  karsl splits verify packed/karsl split.json --forbid session"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.add_argument("action", choices=("make", "show", "verify"), help="see above")
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", type=Path, help="SOURCE is any file or folder that 'karsl convert' reads"
    )
    parser.add_argument("--protocol", metavar="NAME", help="see above; required by make")
    _add_protocol(parser)
    parser.add_argument(
        "--forbid", nargs="+", default=[], metavar="FIELD", help="verify: fields of which no value may be in two parts"
    )
    parser.add_argument("--session", metavar="REGEX", help="finds the session in a clip_id (default: date in KArSL's names)")
    parser.add_argument("--quick", action="store_true", help="do not read clips to compare their contents")
    add_source(parser, "SOURCE")
    add_import(parser)


def _add_protocol(parser: argparse.ArgumentParser) -> None:
    """Add the options that are arguments of `Protocol`, whose defaults count without them."""
    share: dict[str, Any] = {"type": float, "metavar": "SHARE"}
    number: dict[str, Any] = {"type": int, "metavar": "N"}
    parser.add_argument(
        "--by", metavar="FIELD", help="field that groups clips: signer, session, clip, ... (default: signer)"
    )
    parser.add_argument("--val-by", metavar="FIELD", help="make a part val, separated from train by this field")
    parser.add_argument("--test-share", **share, help="share of test clips of random (default: 0.2)")
    parser.add_argument("--val-share", **share, help="share of the training clips to validate on (default: 0.1)")
    parser.add_argument("--folds", **number, help="number of folds of k-fold (default: 5)")
    parser.add_argument("--shots", **number, help="training clips per class of k-shot (default: 5)")
    parser.add_argument("--seed", **number, help="seed of the clips and groups that are drawn (default: 0)")
    parser.add_argument("--signers", nargs="+", metavar="NAME", help="signers to use (default: all)")
    for part in ("train", "val", "test"):
        text = f"shipped parts from which {part} clips are chosen (default: {part}, if the corpus ships it)"
        parser.add_argument(f"--{part}", nargs="+", metavar="NAME", help=text)


def run(args: argparse.Namespace) -> int:
    """Make, show or verify."""
    import_user_modules(args.imports)
    if args.action == "show":
        return _show(args.paths)
    if len(args.paths) < 2 or (args.action == "make" and len(args.paths) > 2):
        expected = "SOURCE and OUT" if args.action == "make" else "SOURCE and FILE"
        raise ConfigError(f"{len(args.paths)} paths given, expected {expected}; see 'karsl splits --help'")
    return _make(args) if args.action == "make" else _verify(args)


def _show(paths: Sequence[Path]) -> int:
    from karsl.datasets.splits import read_split

    for split in map(read_split, paths):
        _print_head(split)
        for part, clips in split.parts.items():
            print(f"  {part:6} {pluralize(len(clips), 'clip')}, the first {clips[0] if clips else 'none'}")
    return 0


def _make(args: argparse.Namespace) -> int:
    from karsl.datasets.protocols import Protocol, make_splits
    from karsl.datasets.splits import write_split

    if not args.protocol:
        raise ConfigError("no protocol; add --protocol NAME, see 'karsl splits --help'")
    given = {key: getattr(args, key) for key in Protocol.__dataclass_fields__ if key != "name"}
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in given.items() if v is not None}
    protocol = Protocol(args.protocol, **given)
    source, out = open_source(args, args.paths[0]), args.paths[1]
    splits = make_splits(source.records, protocol)
    if out.suffix == ".json" and len(splits) > 1:
        raise ConfigError(f"{out}: {protocol.name} makes {pluralize(len(splits), 'file')}, one per fold; name a folder")
    files = [out if out.suffix == ".json" else out / f"{split.name}.json" for split in splits]
    if existing := [str(path) for path in files if path.exists()]:
        raise ConfigError(f"{existing[0]} exists, and a split is not changed; choose another folder, or remove it first")
    _check(args, source, splits)
    for path, split in zip(files, splits, strict=True):
        write_split(path, split)
        print(f"split file: {path}")
    print(f"to use it: karsl train CONFIG --split-file {files[0]}, or filter_cfg=dict(split_file=..., part='train')")
    return 0


def _verify(args: argparse.Namespace) -> int:
    from dataclasses import replace
    from itertools import combinations

    from karsl.datasets.splits import read_split

    splits = []
    for split in map(read_split, args.paths[1:]):
        forbidden = [(name, *pair) for name in args.forbid for pair in combinations(split.parts, 2)]
        splits.append(replace(split, disjoint=tuple(dict.fromkeys((*split.disjoint, *forbidden)))))
    _check(args, open_source(args, args.paths[0]), splits)
    print(f"{pluralize(len(splits), 'split')} verified: {_rules(args)}")
    return 0


def _rules(args: argparse.Namespace) -> str:
    return "no clip is in two parts" if args.quick else "no clip and no content is in two parts"


def _check(args: argparse.Namespace, source: Any, splits: Sequence[Split]) -> None:
    """Print the parts of each split. DataErrors for leakage, with all of it."""
    import re

    from karsl.datasets.records import summarize
    from karsl.datasets.splits import find_leaks, hash_contents
    from karsl.progress import tracker

    contents = None if args.quick else hash_contents(source, tracker("comparing clips"))
    problems = []
    for split in splits:
        session = args.session or split.protocol.get("session")
        found = find_leaks(split, source.records, contents=contents, session=re.compile(session) if session else None)
        problems += [f"{split.name}: {problem}" for problem in found]
    if problems:
        remedy = "leave out one of two equal clips ('karsl prepare --skip-bad' keeps one), or use another protocol"
        raise DataErrors(str(args.paths[0]), problems, remedy)
    known = {str(record["clip_id"]): record for record in source.records}
    for split in splits:
        _print_head(split)
        records = {part: [known[clip] for clip in clips] for part, clips in split.parts.items()}
        for part, members in records.items():
            print(f"  {part:6} {summarize(members)}")
        labels = {part: {r.get("label", r.get("sign")) for r in members} for part, members in records.items()}
        for part in labels.keys() - {"train"}:
            if unseen := labels[part] - labels.get("train", labels[part]):
                print(f"  note: no training clip of {len(unseen)} of {pluralize(len(labels[part]), 'class')} of {part}")


def _print_head(split: Split) -> None:
    protocol = ", ".join(f"{key}={value!r}" for key, value in split.protocol.items() if key != "name")
    name = split.protocol.get("name")
    print(f"{split.name}  hash {split.hash}  {f'protocol {name}' if name else ''}{f' ({protocol})' * bool(protocol)}")
