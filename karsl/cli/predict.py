"""`karsl predict`: classify clips with a trained checkpoint."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from karsl.cli.options import (
    add_import,
    add_layout,
    add_missing,
    add_source_skeleton,
    add_trust_pickle,
    import_user_modules,
    layout_arguments,
    missing_points,
)
from karsl.errors import ConfigError, pluralize

if TYPE_CHECKING:
    from karsl.inference import Prediction, Recognizer
    from karsl.io.sources import ClipSource

SUMMARY = "classify clips with a checkpoint"
_DESCRIPTION = """\
Classify every clip of each SOURCE with the test pipeline, skeleton and classes that are stored in CHECKPOINT; on a CPU the
scores are those of 'karsl test', bit for bit. If the clips have classes of the model, the accuracy is printed, too."""
_EPILOG = """examples:
  karsl predict out/epoch_50.pth clip.npz                      the five most likely signs, with scores
  karsl predict out/epoch_50.pth data/new --format jsonl --out predictions.jsonl
  karsl predict out/epoch_50.pth data/new --format sheet --out sheets
  karsl predict out/epoch_50.pth holistic.npy --source-skeleton holistic_543 --map-skeleton
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    add_model(parser)
    parser.add_argument("sources", type=Path, nargs="+", metavar="SOURCE", help="file or folder of clips, of any format")
    parser.add_argument(
        "--format",
        choices=("table", "jsonl", "sheet"),
        default="table",
        help="a table, one JSON object per clip, or a contact sheet per clip (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, metavar="PATH", help="file to write; folder of --format sheet")
    parser.add_argument("--topk", type=int, default=5, metavar="K", help="number of classes per clip (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=16, metavar="N", help="clips per batch (default: %(default)s)")
    parser.add_argument("--from", dest="input_format", metavar="FORMAT", help="format of SOURCE (default: detected)")
    add_source_skeleton(parser, "SOURCE")
    parser.add_argument(
        "--map-skeleton",
        action="store_true",
        help="map clips of another skeleton by the names of its keypoints; those that it lacks are missing",
    )
    add_layout(parser, "SOURCE")
    add_missing(parser)
    add_trust_pickle(parser)
    add_import(parser)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add CHECKPOINT and `--device`."""
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", type=Path, help="checkpoint (.pth) of 'karsl train', or .onnx of 'karsl export'"
    )
    parser.add_argument("--device", default="auto", help="'auto', 'cpu', or a device of torch (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Classify, and write the predictions as they are made."""
    if args.topk < 1 or args.batch_size < 1:
        raise ConfigError(f"--topk {args.topk}, --batch-size {args.batch_size}; expected numbers of at least 1")
    if args.format == "sheet" and args.out is None:
        raise ConfigError("--format sheet needs --out DIR, the folder of the sheets")
    import_user_modules(args.imports)
    recognizer = load_recognizer(args, map_skeleton=args.map_skeleton, batch_size=args.batch_size)
    opened = [(path, recognizer.open(path, **_source_options(args, recognizer))) for path in args.sources]
    predictions = _counted(_predict(recognizer, opened), counts := _Counts())
    if args.format == "sheet":
        _write_sheets(predictions, args.out)
        print(f"{pluralize(counts.clips, 'sheet')} in {args.out}")
    else:
        with _output(args.out) as file:
            for path, _, prediction, _ in predictions:
                print(
                    _json_line(path, prediction, args.topk) if args.format == "jsonl" else _row(prediction, args.topk),
                    file=file,
                )
    if counts.known:
        share = f"{counts.correct} of {pluralize(counts.known, 'clip')} ({counts.correct / counts.known:.1%})"
        print(f"correct: {share}", file=sys.stderr if args.format == "jsonl" else sys.stdout)
    return 0


def load_recognizer(args: argparse.Namespace, **options: Any) -> Recognizer:
    """Load the model of the command line."""
    from karsl.inference import Recognizer

    if args.checkpoint.suffix.lower() == ".onnx":
        return Recognizer.from_onnx(args.checkpoint, **options)
    return Recognizer.from_checkpoint(args.checkpoint, device=args.device, **options)


class _Counts:
    clips = known = correct = 0


def _source_options(args: argparse.Namespace, recognizer: Recognizer) -> dict[str, Any]:
    missing = missing_points(args)
    given = {"format": args.input_format, "trusted": args.trust_pickle, **layout_arguments(args)}
    options = {key: value for key, value in given.items() if value}
    if args.nonfinite != "raise" or args.missing:
        options["missing"] = missing
    return {"skeleton": args.source_skeleton, **options}


def _predict(
    recognizer: Recognizer, opened: Iterable[tuple[Path, ClipSource]]
) -> Iterator[tuple[Path, ClipSource, Prediction, Any]]:
    for path, source in opened:
        for record, prediction in zip(source.records, recognizer.predict(source), strict=True):
            yield path, source, prediction, record


def _counted(predictions: Iterator[tuple], counts: _Counts) -> Iterator[tuple]:
    for row in predictions:
        prediction = row[2]
        counts.clips += 1
        counts.known += prediction.true_label is not None
        counts.correct += prediction.true_label == prediction.label
        yield row


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    """Yield stdout, or a file that is replaced when it is complete."""
    from karsl.io.atomic import atomic_path

    if path is None:
        yield sys.stdout
        return
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file
    print(f"predictions: {path}", file=sys.stderr)


def _row(prediction: Prediction, topk: int) -> str:
    classes = "  ".join(f"{c.name} {c.name_ar + ' ' if c.name_ar else ''}{c.score:.3f}" for c in prediction.top(topk))
    if prediction.true_label is None:
        return f"{prediction.clip_id}: {classes}"
    true = prediction.candidate(prediction.true_label).name
    return (
        f"{prediction.clip_id}: {classes}  ({'correct' if prediction.true_label == prediction.label else f'true: {true}'})"
    )


def _json_line(path: Path, prediction: Prediction, topk: int) -> str:
    top = [
        {
            "label": c.label,
            **({"sign": c.sign} if c.sign is not None else {}),
            "name": c.name,
            "name_ar": c.name_ar,
            "score": c.score,
        }
        for c in prediction.top(topk)
    ]
    record = {key: value for key, value in prediction.record.items() if key != "clip_id"}
    true = {} if prediction.true_label is None else {"true_label": prediction.true_label}
    return json.dumps({"source": str(path), "clip_id": prediction.clip_id, **record, **true, "top": top}, ensure_ascii=False)


def _write_sheets(predictions: Iterable[tuple[Path, ClipSource, Prediction, Any]], out: Path) -> None:
    from karsl.cli.browse_export import unique_names
    from karsl.io.atomic import atomic_path
    from karsl.io.clip import split_score
    from karsl.visualization.clip_sheets import prediction_sheet

    shown = list(predictions)
    for name, (_, source, prediction, record) in zip(unique_names(row[2].clip_id for row in shown), shown, strict=True):
        keypoint, score = split_score(source.read(record))
        results = {**prediction.record, "keypoint": keypoint, "keypoint_score": score, "skeleton": source.skeleton}
        predicted = {"pred_label": prediction.label, "pred_score": prediction.scores}
        sheet = prediction_sheet(results, predicted, metainfo=prediction.metainfo, truth=prediction.true_label)
        with atomic_path(out / f"{name}.png") as temporary:
            sheet.save(temporary, format="PNG")
