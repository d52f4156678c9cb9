"""What `karsl browse` shows: a dataset of a config, or a folder or file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_CONFIGS = (".py", ".yaml", ".yml")


def open_browsed(args: argparse.Namespace, *, count: int) -> Any:
    """The dataset that the command's words name.

    Args:
        args: Of `karsl browse`.
        count: Clips that will be shown; no more are taken from a stream. 0 is all.

    Raises:
        ConfigError: The config has no such phase, or options do not fit the source.
        DatasetNotFoundError: Nothing lies there.
    """
    path = Path(args.source)
    is_config = path.suffix.lower() in _CONFIGS or (path.suffix.lower() == ".json" and _is_config(path))
    return _of_stream(_from_config(args), args, count) if is_config and not path.is_dir() else _from_files(args)


def _from_files(args: argparse.Namespace) -> Any:
    from karsl.engine.config.overrides import find_ann_file
    from karsl.errors import ConfigError
    from karsl.visualization.clips.opening import open_clips

    given = [option for option, value in (("--data-root", args.data_root), ("--cfg-options", args.cfg_options)) if value]
    if given:
        raise ConfigError(f"{given[0]} changes a config, but '{args.source}' is a folder or a file; leave it out")
    ann_file = find_ann_file(args.ann_file, args.source) if args.ann_file else ""
    return open_clips(
        args.source, ann_file=ann_file, format=args.form, skeleton=args.source_skeleton, trusted=args.trust_pickle
    )


def _from_config(args: argparse.Namespace) -> Any:
    from mmengine.registry import DefaultScope

    from karsl.engine import load_config
    from karsl.engine.config.loaders import find_loader
    from karsl.errors import ConfigError
    from karsl.registry import DATASETS

    options = (("--from", args.form), ("--source-skeleton", args.source_skeleton), ("--trust-pickle", args.trust_pickle))
    given = [option for option, value in options if value]
    if given:
        raise ConfigError(f"{given[0]} is for folders and files, but '{args.source}' is a config; leave it out")
    cfg = load_config(args.source, args.cfg_options, data_root=args.data_root, ann_file=args.ann_file)
    loader = find_loader(cfg, args.phase, args.source)
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "karsl")):
        dataset = DATASETS.build(loader.dataset)
    if hasattr(dataset, "full_init"):
        dataset.full_init()
    return dataset


def _of_stream(dataset: Any, args: argparse.Namespace, count: int) -> Any:
    from karsl.visualization.clips.views import browsable

    return browsable(dataset, max(args.index, default=-1) + 1 or count)


def _is_config(path: Path) -> bool:
    """A json file that names a dataloader is a config; others are annotations or clips."""
    with path.open("rb") as file:
        return b"_dataloader" in file.read(1 << 16)
