"""`karsl info`: what a checkpoint, a pack or a folder of clips contains, in ten lines."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from karsl.cli.options import (
    add_import,
    add_layout,
    add_source_skeleton,
    add_trust_pickle,
    import_user_modules,
    layout_arguments,
)
from karsl.errors import DatasetNotFoundError, pluralize

if TYPE_CHECKING:
    from karsl.inference import ModelDescription
    from karsl.skeletons import Skeleton

SUMMARY = "describe a checkpoint, a pack, or a folder or file of clips, in ten lines"

_MODELS = (".pth", ".pt", ".ckpt")
_SHOWN = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help="checkpoint (.pth), .onnx file, pack, or folder or file of clips"
    )
    parser.add_argument("--from", dest="input_format", metavar="FORMAT", help="format of the clips (default: detected)")
    add_source_skeleton(parser, "SOURCE")
    add_layout(parser, "SOURCE")
    add_trust_pickle(parser)
    add_import(parser)


def run(args: argparse.Namespace) -> int:
    """Print one line per property."""
    from karsl.io.annotations import MANIFEST

    import_user_modules(args.imports)
    path: Path = args.source.expanduser()
    if not path.exists():
        raise DatasetNotFoundError(f"no file or folder '{path}' to describe")
    if path.is_dir() and (path / MANIFEST).is_file():
        rows = [*_pack(path), *_clips(args, path)]
    elif path.is_file() and path.suffix.lower() == ".onnx":
        rows = _onnx(path)
    elif path.is_file() and path.suffix.lower() in _MODELS and _is_checkpoint(path):
        rows = _checkpoint(path)
    else:
        rows = _clips(args, path)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:{width}}  {value}")
    return 0


def _is_checkpoint(path: Path) -> bool:
    """Return True unless a `.pt` file is an array of keypoints."""
    if path.suffix.lower() == ".pth":
        return True
    from karsl.engine import read_checkpoint
    from karsl.errors import ConfigError

    try:
        return "state_dict" in read_checkpoint(path)
    except ConfigError:
        return False


def _checkpoint(path: Path) -> list[tuple[str, str]]:
    from karsl.inference.stored_config import read_description

    description, checkpoint = read_description(path)
    meta = checkpoint["meta"]
    weights = sum(value.numel() for value in checkpoint["state_dict"].values() if hasattr(value, "numel"))
    trained = f"epoch {meta.get('epoch', '?')}, iteration {meta.get('iter', '?')}, seed {meta.get('seed', '?')}"
    versions = f"karsl {description.version or 'unknown'}, mmengine {meta.get('mmengine_version', 'unknown')}"
    return [
        ("checkpoint", f"{path}, {_megabytes(path)}"),
        ("written", f"{meta.get('time', 'unknown')} by {versions}"),
        ("trained", f"{trained}, experiment {meta.get('experiment_name', 'unknown')}"),
        ("model", _model_text(description, weights)),
        *_describe_model(description),
    ]


def _onnx(path: Path) -> list[tuple[str, str]]:
    from karsl.inference.onnx_model import OnnxModel

    description = OnnxModel(path).description
    return [("onnx", f"{path}, {_megabytes(path)}, by karsl {description.version}"), *_describe_model(description)]


def _describe_model(description: ModelDescription) -> list[tuple[str, str]]:
    """Return the lines on input and classes of a model."""
    steps = " > ".join(str(step["type"]) for step in description.pipeline)
    length = f"; {pluralize(description.clip_len, 'frame')}" if description.clip_len else ""
    classes = description.metainfo.get("classes") or ()
    return [
        ("skeleton", _skeleton_text(description.skeleton)),
        ("pipeline", f"{steps}{length}"),
        ("corpus", str(description.metainfo.get("dataset_name", "unknown"))),
        ("classes", f"{len(classes)}: {_listed(classes)}" if classes else "unnamed"),
        *([("Arabic", _listed(description.metainfo["classes_ar"]))] if description.metainfo.get("classes_ar") else []),
    ]


def _model_text(description: ModelDescription, weights: int) -> str:
    parts = [str(description.model.get("type"))]
    backbone = description.model.get("backbone")
    if isinstance(backbone, dict):
        options = ", ".join(
            f"{k}={v}" for k, v in backbone.items() if isinstance(v, (int, float)) and not isinstance(v, bool)
        )
        parts.append(f"{backbone.get('type')}({options})")
    return f"{' of '.join(parts)}, {weights:,} weights"


def _pack(path: Path) -> list[tuple[str, str]]:
    from karsl.pack.manifest import Manifest

    manifest = Manifest.read(path)
    size = sum(stat.bytes for stat in manifest.files().values())
    removed = sum(len(shard.removed) for shard in manifest.shards)
    rounding = max((shard.rounding for shard in manifest.shards), default=0.0)
    return [
        ("pack", f"{path}, {pluralize(len(manifest.shards), 'shard')}, {size / 2**20:.1f} MiB"),
        ("dtype", f"{manifest.dtype}, rounded by at most {rounding:.2g}; {pluralize(removed, 'clip')} removed"),
    ]


def _clips(args: argparse.Namespace, path: Path) -> list[tuple[str, str]]:
    from karsl.inference.clips import file_source

    given = {"format": args.input_format, "trusted": args.trust_pickle, **layout_arguments(args)}
    options = {key: value for key, value in given.items() if value}
    source = file_source(path, skeleton=args.source_skeleton, skip_bad=True, **options)
    records, metainfo = source.records, source.metainfo
    lengths = sorted(record["num_frames"] for record in records)
    frames = (
        f"{sum(lengths)} in all; {lengths[0]} to {lengths[-1]} per clip, median {lengths[len(lengths) // 2]}"
        if lengths
        else "0"
    )
    rows = [
        ("clips", f"{len(records)} in {path}"),
        ("corpus", str(metainfo.get("dataset_name", "unknown"))),
        ("skeleton", _skeleton_text(source.skeleton)),
        ("frames", frames),
        ("classes", f"{len(metainfo['classes'])}: {_listed(metainfo['classes'])}" if metainfo.get("classes") else "unknown"),
    ]
    for key, name in (("signer", "signers"), ("split", "splits")):
        counts = Counter(str(record[key]) for record in records if record.get(key) is not None)
        if counts:
            rows.append((name, _listed(f"{value} ({pluralize(count, 'clip')})" for value, count in sorted(counts.items()))))
    if source.problems:
        rows.append(("unreadable", f"{pluralize(len(source.problems), 'clip')}, the first: {source.problems[0]}"))
    return rows


def _skeleton_text(skeleton: Skeleton) -> str:
    groups = ", ".join(f"{name} {part.stop - part.start}" for name, part in skeleton.groups.items())
    return f"{skeleton.name}, {skeleton.num_keypoints} keypoints: {groups}"


def _listed(values: Iterable[Any]) -> str:
    texts = [str(value) for value in values]
    return ", ".join(texts[:_SHOWN]) + (f", ... ({len(texts) - _SHOWN} more)" if len(texts) > _SHOWN else "")


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 2**20:.1f} MiB"
