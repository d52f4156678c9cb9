"""`karsl browse`: contact sheets of clips, as they lie on disk and as the pipeline leaves them."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from karsl.cli.options import add_cfg_options, add_data_options, import_modules, naming_data_root

SUMMARY = "draw contact sheets of clips, raw and transformed"

_PHASES = ("train", "val", "test")
_IN_OVERVIEW = 60  # clips; more make a picture that no viewer shows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options, named as in MMEngine's browse_dataset where they mean the same."""
    parser.add_argument("source", metavar="CONFIG", help="config file, or a folder with '01-train/0001.npz' and the like")
    parser.add_argument("--phase", choices=_PHASES, default="train", help="which dataset of the config (default: train)")
    parser.add_argument(
        "--mode",
        choices=("original", "transformed", "concat"),
        default="concat",
        help="the clip as loaded, as the pipeline leaves it, or one above the other (default: concat)",
    )
    parser.add_argument("-n", "--show-number", type=int, default=12, metavar="N", help="clips; 0 is all (default: 12)")
    parser.add_argument("--output-dir", type=Path, default=Path("work_dirs/browse"), help="default: %(default)s")
    parser.add_argument("--sign", nargs="+", default=(), help="SignIDs, or parts of English or Arabic glosses")
    parser.add_argument("--signer", nargs="+", default=(), help="signers, such as 01")
    parser.add_argument("--split", nargs="+", default=(), help="splits, such as train")
    parser.add_argument("--sort", choices=("index", "sign", "length"), default="index", help="order (default: index)")
    parser.add_argument("--seed", type=int, help="choose clips, and draw augmentations, by chance of this seed")
    parser.add_argument("--index", type=int, nargs="+", default=(), help="exactly these clips of the dataset")
    add_data_options(parser)
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Choose clips, write their sheets and an overview, say where they lie."""
    from rich.progress import track

    from karsl.errors import ConfigError, DataProblems, KarslError
    from karsl.visualization import overview_sheet
    from karsl.visualization.source import ClipFilter, choose_clips, clip_stages

    if args.show_number < 0:
        raise ConfigError(f"-n {args.show_number}; expected 0 for all clips, or a positive number")
    import_modules(args.imports)
    with naming_data_root(args):
        dataset = _folder(args) if Path(args.source).is_dir() else _from_config(args)
    keep = ClipFilter(tuple(args.sign), tuple(args.signer), tuple(args.split))
    places = choose_clips(dataset, count=args.show_number, indices=args.index, keep=keep, sort=args.sort, seed=args.seed)
    metainfo = {id(place.dataset): place.dataset.metainfo for place in places}
    names = unique_names(str(place.record.get("clip_id", f"clip_{place.index}")) for place in places)
    shown: list[tuple[Mapping[str, Any], Mapping]] = []
    problems, written = [], 0
    for place, name in track(zip(places, names, strict=True), "drawing sheets", total=len(places)):
        about = metainfo[id(place.dataset)]
        if hasattr(place.dataset, "set_epoch"):
            place.dataset.set_epoch(0, seed=args.seed or 0)
        try:
            stages = clip_stages(place)
            _save(_draw(args.mode, stages[0][1], stages[-1][1], about), args.output_dir / f"{name}.png")
        except ConfigError:
            raise
        except KarslError as error:  # one bad clip: the others are still worth seeing
            problems.append(f"{place.record.get('clip_id', place.index)}: {error}")
            continue
        written += 1
        if len(shown) < _IN_OVERVIEW:
            shown.append((stages[-1 if args.mode == "transformed" else 0][1], about))
    if shown:
        title = f"{args.source} · {len(shown)} of {len(dataset)} clips"
        overview = overview_sheet([r for r, _ in shown], metainfo=[m for _, m in shown], title=title)
        _save(overview, args.output_dir / "overview.png")
        _report(args.output_dir, written, any("classes_ar" in m for _, m in shown))
    if problems:
        raise DataProblems(args.source, problems)
    return 0


def unique_names(clip_ids: Iterator[str]) -> list[str]:
    """File names for clip ids: safe on every file system, no two alike even where case is ignored.

    Example:
        >>> unique_names(iter(["01-train/0001/a (1)", "01-train/0001/A-1", "01-train_0001_a_1", "overview"]))
        ['01-train_0001_a_1', '01-train_0001_A-1', '01-train_0001_a_1-2', 'overview-2']
    """
    taken, names = {"overview"}, []
    for clip_id in clip_ids:
        plain = re.sub(r"[^\w.-]+", "_", clip_id).strip("._")[-120:] or "clip"
        name, number = plain, 2
        while name.casefold() in taken:
            name, number = f"{plain}-{number}", number + 1
        taken.add(name.casefold())
        names.append(name)
    return names


def _folder(args: argparse.Namespace) -> Any:
    from karsl.datasets import KArSLDataset
    from karsl.engine.overrides import find_ann_file
    from karsl.errors import ConfigError

    given = [option for option, value in (("--data-root", args.data_root), ("--cfg-options", args.cfg_options)) if value]
    if given:
        raise ConfigError(f"{given[0]} changes a config, but '{args.source}' is a folder; leave it out")
    ann_file = find_ann_file(args.ann_file, args.source) if args.ann_file else ""
    return KArSLDataset(ann_file, data_root=args.source, pipeline=[{"type": "LoadKeypoints"}])


def _from_config(args: argparse.Namespace) -> Any:
    from mmengine.registry import DefaultScope

    from karsl.engine import load_config
    from karsl.errors import ConfigError
    from karsl.registry import DATASETS

    cfg = load_config(args.source, args.cfg_options, data_root=args.data_root, ann_file=args.ann_file)
    loader = cfg.get(f"{args.phase}_dataloader")
    if not loader or not loader.get("dataset"):
        has = [phase for phase in _PHASES if cfg.get(f"{phase}_dataloader")]
        raise ConfigError(f"config '{args.source}' has no {args.phase}_dataloader; it has {', '.join(has) or 'none'}")
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "karsl")):
        dataset = DATASETS.build(loader.dataset)
    if hasattr(dataset, "full_init"):
        dataset.full_init()
    return dataset


def _draw(mode: str, original: Mapping[str, Any], transformed: Mapping[str, Any], metainfo: Mapping) -> Any:
    from karsl.visualization import clip_sheet, stages_sheet

    if mode == "concat" and transformed is not original:
        return stages_sheet(original, transformed, metainfo=metainfo)
    return clip_sheet(transformed if mode == "transformed" else original, metainfo=metainfo)


def _save(image: Any, path: Path) -> None:
    from karsl.storage.atomic import atomic_path

    with atomic_path(path) as part:
        image.save(part, format="PNG", optimize=True)


def _report(folder: Path, written: int, has_arabic: bool) -> None:
    from karsl.visualization import arabic_problem

    print(f"{written} sheet{'' if written == 1 else 's'} and overview.png lie in {folder}")
    problem = arabic_problem() if has_arabic else None
    if problem:
        print(f"karsl browse: {problem}", file=sys.stderr)
