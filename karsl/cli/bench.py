"""`karsl bench`: time the loader of a config or folder, name its slowest stage and advise what to change."""

from __future__ import annotations

import argparse
import json
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

from karsl.cli.options import (
    add_cfg_options,
    add_data_options,
    add_layout,
    add_phase,
    import_user_modules,
    layout_arguments,
    suggest_data_root,
)
from karsl.errors import ConfigError, pluralize

SUMMARY = "time the loader of a config or folder and report its bottleneck"
EPILOG = """examples:
  karsl bench config.py --data-root data/karsl                      samples/s without workers and with those of the config
  karsl bench data/karsl --pack                                     a folder as it is, then packed
  karsl bench packed/karsl --workers 0 --at-least 20000 --json bench.json
"""
_ARRAY_ARGUMENTS = ("layout", "pattern", "labels")
_FOLDER_BATCH, _FOLDER_WORKERS, _FOLDER_FRAMES = 64, 2, 32


class Measurement(NamedTuple):
    """Figures of one loader for each number of workers.

    Attributes:
        results: One `Throughput` per number of workers.
        stages: `Stages` of single samples; None for a stream.
        advice: What limits the loader, and what to change.
        settings: What was measured: dataset, pipeline, batch size.
    """

    results: list[Any]
    stages: Any
    advice: list[str]
    settings: dict[str, Any]

    @property
    def rate(self) -> float:
        """Highest number of samples per second."""
        return max(result.samples_per_s for result in self.results)

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as plain data."""
        from dataclasses import asdict

        return {
            "settings": self.settings,
            "samples_per_s": self.rate,
            "results": [asdict(row) for row in self.results],
            "slowest_stage": None if self.stages is None else self.stages.bottleneck,
            "stages": None if self.stages is None else asdict(self.stages),
            "advice": self.advice,
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `karsl bench`."""
    parser.epilog = EPILOG
    parser.add_argument(
        "source", metavar="SOURCE", help="config, or a data root, pack or other folder with an annotation file"
    )
    add_phase(parser, "loader of the config to time")
    add_data_options(parser)
    add_layout(parser, "a folder")
    parser.add_argument(
        "--workers", type=int, nargs="+", metavar="N",
        help="numbers of worker processes to compare (default: 0 and the config's number, or 0 and 2)",
    )  # fmt: skip
    parser.add_argument("--batch-size", type=int, metavar="N", help="samples per batch (default: the config's)")
    parser.add_argument(
        "--step-ms", type=float, default=20.0, metavar="MS",
        help="duration of a training step in milliseconds, to compute how long it waits for data (default: 20)",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=float, default=2.0, metavar="S", help="duration of each measurement in seconds (default: 2)"
    )
    parser.add_argument(
        "--pack", action="store_true", help="also pack the clips into a temporary folder, and time the loader on the pack"
    )
    parser.add_argument(
        "--at-least", type=float, metavar="RATE",
        help="exit with status 1 if no setting reaches this many samples per second; with --pack, on the pack",
    )  # fmt: skip
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write versions, machine, data, settings and all figures to this file"
    )
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Time the loader for each number of workers; print tables and advice."""
    import tempfile

    _check(args)
    import_user_modules(args.imports)
    with suggest_data_root(args):
        measurements = {"source": _measure(args)}
    _print(measurements["source"])
    if args.pack:
        with tempfile.TemporaryDirectory(prefix="karsl-bench-") as folder:
            measurements["pack"] = _measure(args, pack_into=Path(folder))
        _print(measurements["pack"], title="from a pack")
        factor = measurements["pack"].rate / measurements["source"].rate
        print(f"- a pack gives {factor:.1f} times the samples/s; write it with 'karsl pack SOURCE PACK'")
    last = [*measurements.values()][-1]
    reached = args.at_least is None or last.rate >= args.at_least
    if args.json:
        _write(args, measurements, reached=reached)
    if not reached:
        print(f"below the limit: {last.rate:,.0f} samples/s, less than --at-least {args.at_least:,.0f}")
    agrees = all(measurement.stages is None or not measurement.stages.disagreement for measurement in measurements.values())
    return 0 if reached and agrees else 1


def _check(args: argparse.Namespace) -> None:
    if args.batch_size is not None and args.batch_size < 1:
        raise ConfigError(f"--batch-size {args.batch_size}; expected a positive number")
    if any(workers < 0 for workers in args.workers or ()):
        raise ConfigError(f"--workers {min(args.workers)}; expected 0 or more")
    if not args.seconds > 0:
        raise ConfigError(f"--seconds {args.seconds:g}; expected a positive number")
    if not args.step_ms >= 0:
        raise ConfigError(f"--step-ms {args.step_ms:g}; expected 0 or more")
    if args.data_root and Path(args.source).is_dir():
        raise ConfigError(f"--data-root changes a config, but '{args.source}' is a folder; remove it")
    arrays = [f"--{key}" for key, value in layout_arguments(args).items() if value is not None]
    if arrays and not Path(args.source).is_dir():
        raise ConfigError(
            f"{arrays[0]} describes array files, but '{args.source}' is no folder; set it in the config's dataset"
        )


def _measure(args: argparse.Namespace, pack_into: Path | None = None) -> Measurement:
    """Time the loader with each number of workers, and its stages once.

    Args:
        args: Options of `karsl bench`.
        pack_into: Folder into which the clips are packed first; None reads them as they are.
    """
    from karsl.profiling.throughput import advice, measure, profile_stages
    from karsl.progress import make_console

    results: list[Any] = []
    stages, collate_name, settings = None, "", dict[str, Any]()
    for workers in _worker_counts(args):
        with make_console(stderr=True).status(f"timing num_workers={workers}"):
            loader = _build_loader(args, workers, pack_into)
            results.append(measure(loader, seconds=args.seconds, step_ms=args.step_ms))
            if len(results) == 1:
                is_stream = not hasattr(loader.dataset, "__len__")
                stages = None if is_stream else profile_stages(loader.dataset, loader.collate_fn)
                collate_name = getattr(getattr(loader.collate_fn, "func", loader.collate_fn), "__name__", "")
                settings = _settings(loader, collate_name)
            del loader  # ends its workers
    return Measurement(results, stages, advice(results, stages, collate_name=collate_name), settings)


def _settings(loader: Any, collate_name: str) -> dict[str, Any]:
    from karsl.datasets.pipeline import step_name
    from karsl.datasets.tree import walk_datasets

    data = [
        {
            "type": type(part).__name__,
            "data_root": str(Path(part.data_root).absolute()),
            "ann_file": getattr(part, "ann_file", ""),
            "clips": len(part),
            "pipeline": [step_name(step) for step in getattr(part.pipeline, "transforms", ())],
        }
        for part in walk_datasets(loader.dataset)
        if hasattr(part, "data_root") and hasattr(part, "pipeline")
    ]
    return {"data": data, "batch_size": loader.batch_size, "collate_fn": collate_name}


def _worker_counts(args: argparse.Namespace) -> list[int]:
    """Return the numbers of workers to compare: those of the option, or 0 and the config's, 2 if that is 0."""
    if args.workers:
        return list(dict.fromkeys(args.workers))
    loader, _ = _load_loader(args)
    return sorted({0, loader.get("num_workers", 0) or 2})


def _load_loader(args: argparse.Namespace) -> tuple[Any, str]:
    from karsl.engine.config.load import load_loader

    if Path(args.source).is_dir():
        return _folder_loader(args)
    return load_loader(args.source, args.phase, args.cfg_options, data_root=args.data_root, ann_file=args.ann_file)


def _folder_loader(args: argparse.Namespace) -> tuple[Any, str]:
    """Return the config of a loader for a folder, with a short pipeline; `--cfg-options` apply to it, too."""
    from mmengine.config import Config

    from karsl.engine.config.load import find_ann_file, override
    from karsl.formats.base import detect_format
    from karsl.io.pack_reader import ANNOTATIONS

    arrays = {key: value for key, value in layout_arguments(args).items() if value is not None}
    detected = "arrays" if arrays else "annotation" if args.ann_file else detect_format(Path(args.source)).name
    if detected not in ("karsl", "annotation", "pack", "arrays"):
        raise ConfigError(
            f"'{args.source}' has the format {detected}; pack it with 'karsl pack {args.source} PACK' and time PACK, "
            "or give a config whose dataset reads it"
        )
    is_scanned = detected in ("karsl", "arrays")
    ann_file = "" if is_scanned else find_ann_file(args.ann_file or ANNOTATIONS, args.source)
    dataset = {
        "type": "KArSLDataset" if detected == "karsl" else "KeypointDataset",
        "data_root": args.source,
        "ann_file": ann_file,
        "pipeline": [
            {"type": "LoadKeypoints"},
            {"type": "TSNSampleFrames", "clip_len": _FOLDER_FRAMES},
            {"type": "PackKeypointInputs"},
        ],
        **arrays,
    }
    loader = {
        "batch_size": _FOLDER_BATCH,
        "num_workers": _FOLDER_WORKERS,
        "sampler": {"type": "ResumableSampler"},
        "collate_fn": {"type": "keypoint_collate"},
        "dataset": dataset,
    }
    cfg = Config({f"{args.phase}_dataloader": loader})
    override(cfg, args.cfg_options or {})
    return cfg[f"{args.phase}_dataloader"], "karsl"


def _build_loader(args: argparse.Namespace, workers: int, pack_into: Path | None) -> Any:
    import multiprocessing

    from karsl.engine.config.loaders import build_loader

    loader, scope = _load_loader(args)
    if args.batch_size:
        loader.batch_size = args.batch_size
    if pack_into is not None:
        _read_from_packs(loader, pack_into)
    method = loader.get("multiprocessing_context") or multiprocessing.get_start_method()
    return build_loader(loader, scope=scope, seed=0, num_workers=workers, start_method=method, serialize=True)


def _read_from_packs(loader: MutableMapping, folder: Path) -> None:
    """Pack the clips of each data root into a folder, unless they are there already, and let the datasets read them.

    Raises:
        ConfigError: If a dataset has no data root, or is a pack already.
    """
    from karsl.engine.config.tree import dataset_configs
    from karsl.formats import open_clips
    from karsl.io.annotations import MANIFEST
    from karsl.io.pack_reader import ANNOTATIONS
    from karsl.pack.write import pack_clips

    packs: dict[Path, Path] = {}
    for dataset in dataset_configs(loader["dataset"]):
        root = dataset.get("data_root")
        if not root:
            raise ConfigError(f"--pack: a dataset of type {dataset.get('type')!r} has no data_root to pack; remove --pack")
        clips = Path(root, dataset.get("ann_file") or "")
        if ((clips if clips.is_dir() else clips.parent) / MANIFEST).is_file():
            raise ConfigError(f"--pack: '{clips}' is a pack already; remove --pack")
        pack = packs.setdefault(clips, folder / str(len(packs)))
        if not pack.is_dir():
            described = {key: dataset[key] for key in ("skeleton", *_ARRAY_ARGUMENTS) if dataset.get(key) is not None}
            pack_clips(open_clips(clips, **described), pack, workers=0)
        for key in _ARRAY_ARGUMENTS:
            dataset.pop(key, None)
        dataset.update(data_root=str(pack), ann_file=ANNOTATIONS, data_prefix={"keypoint_path": ""})


def _print(measurement: Measurement, title: str | None = None) -> None:
    from karsl.progress import make_console

    console = make_console()
    clips = sum(data["clips"] for data in measurement.settings["data"])
    if title is None and clips:
        console.print(f"{pluralize(clips, 'clip')}, batches of {measurement.settings['batch_size']}")
    console.print(_rates_table(measurement.results, title))
    if measurement.stages is not None:
        console.print(_stages_table(measurement.stages))
    print("\n".join(f"- {line}" for line in measurement.advice))


def _rates_table(results: list[Any], title: str | None) -> Any:
    from rich.table import Table

    table = Table("num_workers", title=title, title_justify="left")
    for name in ("samples/s", "batch, ms", "95 %, ms", "first batch, s", f"waiting at a {results[0].step_ms:g} ms step"):
        table.add_column(name, justify="right")
    for row in results:
        table.add_row(
            str(row.num_workers), f"{row.samples_per_s:,.0f}", f"{row.batch_ms:.1f}", f"{row.batch_ms_p95:.1f}",
            f"{row.first_batch_s:.2f}", f"{100 * row.wait_ratio:.1f} %",
        )  # fmt: skip
    return table


def _stages_table(stages: Any) -> Any:
    from rich.table import Table

    table = Table("stage", title="one sample at a time, in this process", title_justify="left")
    table.add_column("us per sample", justify="right")
    table.add_column("in a batch")
    for name, micros in stages.micros.items():
        table.add_row(name, f"{micros:,.1f}", "compiled" if name in stages.batched else "")
    if stages.batch_micros is not None:
        table.add_row("whole batch", f"{stages.batch_micros:,.1f}", "per sample", style="bold")
    return table


def _write(args: argparse.Namespace, measurements: dict[str, Measurement], *, reached: bool) -> None:
    from karsl.profiling.machine import describe_machine, package_versions

    content = {
        "versions": package_versions(),
        "machine": describe_machine(),
        "source": str(Path(args.source).absolute()),
        "options": {
            "phase": args.phase, "data_root": args.data_root, "ann_file": args.ann_file, "cfg_options": args.cfg_options,
            "seconds": args.seconds, "step_ms": args.step_ms,
        },
        "at_least": args.at_least,
        "reached": reached,
        "measured": {name: measurement.to_dict() for name, measurement in measurements.items()},
    }  # fmt: skip
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
    print(f"figures: {args.json}")
