"""What `karsl memory` measures: made-up records, the loader of a config, or the clips of a folder."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

from karsl.cli.options import import_modules


def plan_cases(args: argparse.Namespace, folder: str) -> tuple[Any, list]:
    """What makes the loader in the process of a rank, and the cases that are compared.

    Args:
        args: Of `karsl memory`.
        folder: For the index of made-up records.
    """
    from karsl.analysis.memory.records import records_loader
    from karsl.analysis.memory.samples import Case

    workers = 2 if args.workers is None else args.workers
    make: Any
    if args.records:
        make = partial(records_loader, count=args.records, batch_size=args.batch_size or 1024, index_cache=folder)
    elif args.config:
        options = {"config": args.config, "options": args.cfg_options, "phase": args.phase, "imports": args.imports}
        options |= {"data_root": args.data_root, "ann_file": args.ann_file}
        loader, _ = _loader_of(**options)
        workers = loader.get("num_workers", 2) if args.workers is None else args.workers
        make = partial(config_loader, batch_size=args.batch_size, **options)
    else:
        options = {"data_root": args.data_root, "ann_file": args.ann_file}
        make = partial(folder_loader, batch_size=args.batch_size or 64, **options)
    methods = dict.fromkeys(args.start_method if workers else args.start_method[:1])
    return make, [Case(method, way, workers, args.ranks) for way in dict.fromkeys(args.serialize) for method in methods]


def config_loader(case: Any, rank: int, *, batch_size: int | None, **options: Any) -> Any:
    """The loader of a config in one rank's process, its workers started as `case` says."""
    from karsl.engine.config.loaders import build_loader

    loader, scope = _loader_of(**options)
    if batch_size:
        loader.batch_size = batch_size
    return build_loader(
        loader,
        scope=scope,
        seed=rank,
        num_workers=case.num_workers,
        start_method=case.start_method,
        serialize=case.serialize == "on",
    )


def folder_loader(case: Any, rank: int, *, data_root: str, ann_file: str | None = None, batch_size: int) -> Any:
    """A loader that reads the clips of a KArSL layout."""
    from karsl.analysis.memory.records import make_dataloader
    from karsl.datasets import KArSLDataset
    from karsl.engine.config.load import find_ann_file

    steps = [{"type": "LoadKeypoints"}]
    ann_file = find_ann_file(ann_file, data_root) if ann_file else ""
    dataset = KArSLDataset(ann_file, data_root=data_root, pipeline=steps, serialize_data=case.serialize == "on")
    return make_dataloader(dataset, case, batch_size=batch_size, seed=rank)


def _loader_of(
    *, config: str, phase: str, options: dict | None, imports: Sequence[str] = (), **data: Any
) -> tuple[Any, str]:
    """The loader of a phase as its config has it, and the scope of its names."""
    from karsl.engine import load_config
    from karsl.engine.config.loaders import find_loader

    import_modules(imports)
    cfg = load_config(config, options, **data)
    return find_loader(cfg, phase, config), cfg.get("default_scope", "karsl")
