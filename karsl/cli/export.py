"""`karsl export`: write the model of a checkpoint as an ONNX file."""

from __future__ import annotations

import argparse
from pathlib import Path

from karsl.cli.options import add_import, import_user_modules
from karsl.errors import ConfigError

SUMMARY = "write the model of a checkpoint as an ONNX file, with classes, skeleton and test pipeline inside"
_DESCRIPTION = """\
Write OUT, an ONNX file with the inputs 'inputs' (N, T, V, C) and 'keypoint_mask' (N, T, V) and the output 'scores' (N, K).
It is kept only if onnxruntime gives the scores of torch to 1e-4. The test pipeline, which makes the inputs from clips, is
stored as metadata and applied by Recognizer.from_onnx and 'karsl predict OUT'."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.description = _DESCRIPTION
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="checkpoint (.pth) of 'karsl train'")
    parser.add_argument("out", type=Path, metavar="OUT", help="file to write, .onnx")
    add_import(parser)


def run(args: argparse.Namespace) -> int:
    """Export, compare, and print the size and the largest difference."""
    from karsl.inference.onnx_model import export_onnx
    from karsl.inference.stored_config import read_description
    from karsl.inference.torch_model import TorchModel

    if args.out.suffix.lower() != ".onnx":
        raise ConfigError(f"OUT '{args.out}' is not the name of an .onnx file")
    import_user_modules(args.imports)
    description, checkpoint = read_description(args.checkpoint)
    model = TorchModel(description, checkpoint, args.checkpoint, "cpu")
    difference = export_onnx(model, description, args.out)
    size = args.out.stat().st_size / 2**20
    print(f"{args.out}: {size:.1f} MiB; its scores differ from those of torch by at most {difference:.1g}")
    return 0
