"""`karsl browse`: clips of a config, folder or file as pages, contact sheets or animations, or served to a browser."""

from __future__ import annotations

import argparse
import signal
import webbrowser
from pathlib import Path
from threading import Thread
from typing import Any

from karsl.cli.options import (
    add_cfg_options,
    add_data_options,
    add_layout,
    add_missing,
    add_person,
    add_phase,
    add_source_skeleton,
    add_trust_pickle,
    import_user_modules,
    layout_arguments,
    missing_points,
    suggest_data_root,
)
from karsl.errors import ConfigError, pluralize

SUMMARY = "show raw and transformed clips as a page, contact sheets or animations, or serve them on this machine"

FORMATS = ("html", "sheet", "gif", "webp", "mp4")
EPILOG = """examples:
  karsl browse data/karsl                                     12 clips of a folder as contact sheets
  karsl browse data/karsl --serve                             all clips in the browser, on this machine only
  karsl browse config.py --format html --augmentations 4      a page to share: each transform, and four augmented views
  karsl browse config.py --mode pipeline --index 7            one clip after each transform, as a contact sheet
  karsl browse data/karsl --sign 71 hello --per-sign 8        one contact sheet per sign with eight of its clips
  karsl browse clips --layout 'lh:21x3, rh:21x3'              arrays of 126 columns per frame
  karsl browse clip.pose --format mp4                         a video that browsers play
  karsl browse data/extracted --video                         keypoints over the frames that they were extracted from
"""
_CONFIG_OR_ANNOTATION = (".json", ".yaml", ".yml")
_DEFAULT_CLIPS, _PAGE_CLIPS = 12, 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add options, named as in MMEngine's browse_dataset if they have the same meaning."""
    parser.epilog = EPILOG
    parser.add_argument(
        "source", metavar="SOURCE", help="config, or a folder or file of clips: data root, pack, .npz, .npy, .pose, ..."
    )
    _add_selection(parser.add_argument_group("clips"))
    _add_output(parser.add_argument_group("output"))
    data = parser.add_argument_group("source of the clips")
    data.add_argument("--from", dest="input_format", metavar="FORMAT", help="format of a folder or file (default: detected)")
    add_source_skeleton(data, "SOURCE", "--skeleton")
    add_layout(data, "SOURCE")
    add_trust_pickle(data)
    add_missing(data)
    add_person(data)
    add_data_options(parser)
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Select clips, and export or serve them."""
    import torch

    from karsl.cli.browse_export import export_clips
    from karsl.visualization.clips.select import ClipFilter, select_clips

    _check(args)
    import_user_modules(args.imports)
    torch.set_num_threads(1)  # one clip at a time: threads would only synchronize over a few KB
    count = _num_clips(args)
    with suggest_data_root(args):
        dataset = _open_dataset(args, count=count)
    clip_filter = ClipFilter(tuple(args.sign), tuple(args.signer), tuple(args.split))
    if args.serve:
        return _serve(args, dataset, clip_filter)
    selection = {"sort": args.sort, "seed": args.seed, "per_sign": args.per_sign}
    clips = select_clips(dataset, count=count, indices=args.index, clip_filter=clip_filter, **selection)
    return export_clips(args, dataset, clips)


def _add_selection(group: argparse._ArgumentGroup) -> None:
    add_phase(group, "dataset of the config to show")
    group.add_argument(
        "--mode",
        choices=("original", "transformed", "concat", "pipeline"),
        help="show clips as loaded, after the pipeline, both, or after every transform (default: concat; pages: pipeline)",
    )
    group.add_argument(
        "--video",
        nargs="?",
        const="",
        metavar="DIR",
        help="draw the loaded clip over the frames of its video, in the folder from which 'karsl extract' read it, or in "
        "DIR; not with --per-sign",
    )
    group.add_argument("--augmentations", type=int, default=1, metavar="N", help="augmented views per clip (default: 1)")
    group.add_argument(
        "-n",
        "--show-number",
        type=int,
        metavar="N",
        help=f"number of clips, 0 for all (default: {_DEFAULT_CLIPS}; pages: {_PAGE_CLIPS})",
    )
    group.add_argument(
        "--per-sign", type=int, default=0, metavar="N", help="show N clips per sign, on one contact sheet per sign"
    )
    group.add_argument(
        "--sign", nargs="+", default=(), help="only these signs: SignIDs, or substrings of English or Arabic glosses"
    )
    group.add_argument("--signer", nargs="+", default=(), help="only these signers, such as 01")
    group.add_argument("--split", nargs="+", default=(), help="only these splits, such as train")
    group.add_argument(
        "--sort", choices=("index", "sign", "length"), default="index", help="order of the clips (default: index)"
    )
    group.add_argument(
        "--seed",
        type=int,
        help="seed of the augmentations and of a random selection of clips (default: evenly spread clips)",
    )
    group.add_argument("--index", type=int, nargs="+", default=(), help="indices of the clips to show")


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--format", choices=FORMATS, default="sheet", help="output format (default: sheet)")
    group.add_argument(
        "--output-dir",
        type=Path,
        metavar="DIR",
        default=Path("work_dirs/browse"),
        help="output folder (default: %(default)s)",
    )
    group.add_argument(
        "--not-show", action="store_true", help="do not open the output, which is opened if there is a display"
    )
    group.add_argument(
        "--show-interval",
        type=float,
        default=0,
        metavar="S",
        help="open every file, S seconds apart (default: only the first)",
    )
    group.add_argument("--serve", action="store_true", help="serve all clips on 127.0.0.1 until Ctrl-C; no file is written")
    group.add_argument("--port", type=int, default=0, help="port of --serve (default: a free one)")


def _check(args: argparse.Namespace) -> None:
    if args.show_number is not None and args.show_number < 0:
        raise ConfigError(f"-n {args.show_number}; expected 0 for all clips, or a positive number")
    for option, value, low in (("--augmentations", args.augmentations, 1), ("--per-sign", args.per_sign, 0)):
        if value < low:
            raise ConfigError(f"{option} {value}; expected a number of at least {low}")
    if not 0 <= args.port < 1 << 16:
        raise ConfigError(f"--port {args.port}; expected 0 to 65535")
    if args.show_interval < 0:
        raise ConfigError(f"--show-interval {args.show_interval:g}; expected seconds, 0 or more")


def _num_clips(args: argparse.Namespace) -> int:
    if args.show_number is not None:
        return args.show_number
    return _PAGE_CLIPS if args.serve or args.format == "html" else _DEFAULT_CLIPS  # only a stream is served in part


def _open_dataset(args: argparse.Namespace, *, count: int) -> Any:
    """Open the dataset of a config, or a folder or file.

    Args:
        args: Arguments of `karsl browse`.
        count: Maximum number of clips to read from a stream; 0 is all.

    Raises:
        ConfigError: If the config has no such phase, or options do not apply to the source.
        DatasetNotFoundError: If the source does not exist.
    """
    path = Path(args.source)
    if path.is_dir() or not _is_config(path):
        return _open_files(args)
    from karsl.visualization.clips.sources import as_clips

    return as_clips(_build_dataset(args), max(args.index, default=-1) + 1 or count)


def _open_files(args: argparse.Namespace) -> Any:
    from karsl.engine.config.load import find_ann_file
    from karsl.visualization.clips.open import open_dataset

    options = (("--data-root", args.data_root), ("--cfg-options", args.cfg_options))
    invalid = [option for option, value in options if value]
    if invalid:
        raise ConfigError(f"{invalid[0]} changes a config, but '{args.source}' is a folder or a file; remove it")
    ann_file = find_ann_file(args.ann_file, args.source) if args.ann_file else ""
    dataset = open_dataset(
        args.source,
        ann_file=ann_file,
        format=args.input_format,
        skeleton=args.source_skeleton,
        trusted=args.trust_pickle,
        missing=missing_points(args),
        person=args.person,
        **layout_arguments(args),
    )
    for note in getattr(getattr(dataset, "source", None), "notes", ()):
        print(f"note: {note}")
    return dataset


def _build_dataset(args: argparse.Namespace) -> Any:
    from mmengine.registry import DefaultScope

    from karsl.engine.config.load import load_loader
    from karsl.registry import DATASETS

    options = (
        ("--from", args.input_format),
        ("--source-skeleton", args.source_skeleton),
        ("--trust-pickle", args.trust_pickle),
        ("--nonfinite", args.nonfinite != "raise"),
        ("--missing", args.missing),
        ("--person", args.person is not None),
        *((f"--{name}", value) for name, value in layout_arguments(args).items()),
    )
    invalid = [option for option, value in options if value]
    if invalid:
        raise ConfigError(f"{invalid[0]} is for folders and files, but '{args.source}' is a config; remove it")
    data = {"data_root": args.data_root, "ann_file": args.ann_file}
    loader, scope = load_loader(args.source, args.phase, args.cfg_options, **data)
    with DefaultScope.overwrite_default_scope(scope):
        dataset = DATASETS.build(loader.dataset)
    if hasattr(dataset, "full_init"):
        dataset.full_init()
    return dataset


def _is_config(path: Path) -> bool:
    """Return True for a Python file, and for json or YAML with a dataloader or base; others are annotations or clips."""
    if path.suffix.lower() == ".py":
        return True
    if path.suffix.lower() not in _CONFIG_OR_ANNOTATION:
        return False
    with path.open("rb") as file:
        head = file.read(1 << 16)
    return any(word in head for word in (b"_dataloader", b"_base_:", b'"_base_":'))


def _serve(args: argparse.Namespace, dataset: Any, clip_filter: Any) -> int:
    """Serve the clips that a filter accepts until Ctrl-C or SIGTERM.

    Raises:
        ConfigError: If no clip remains, or the port is in use.
    """
    from karsl.cli.browse_export import has_display
    from karsl.visualization.server import ClipServer, ClipServerState

    state = ClipServerState(
        dataset,
        source=Path(args.source).name,
        clip_filter=clip_filter,
        indices=tuple(args.index),
        sort=args.sort,
        mode=args.mode or "pipeline",
        augmentations=args.augmentations,
        seed=args.seed,
        video=args.video,
    )
    Thread(target=lambda: state.index_gz, daemon=True).start()  # while the browser starts
    with ClipServer(state, args.port) as server:
        previous = signal.signal(signal.SIGTERM, _interrupt)
        try:
            print(f"{pluralize(len(state), 'clip')} at {server.url} (Ctrl-C stops)", flush=True)
            if not args.not_show and has_display():
                webbrowser.open(server.url)
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            print("stopped", flush=True)
        finally:
            signal.signal(signal.SIGTERM, previous)
    return 0


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt
