"""ONNX files of trained models: export with a check of the scores, and scores of an exported file.

| name | content |
| --- | --- |
| input `inputs` | float32 (N, T, V, C), the output of the test pipeline |
| input `keypoint_mask` | bool (N, T, V), True where a keypoint is present |
| output `scores` | float32 (N, K), probabilities |
| metadata | JSON texts: `classes`, `skeleton`, `clip_len`, `pipeline`, `metainfo`, `collate`, `version` |
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from karsl.errors import ConfigError, DatasetNotFoundError, first_line, missing_extra
from karsl.inference.clips import ClipDataset, array_source
from karsl.inference.stored_config import ModelDescription, check_stored, registered_types
from karsl.inference.torch_model import TorchModel
from karsl.io.atomic import atomic_path
from karsl.schema import parse_json
from karsl.skeletons import get_skeleton
from karsl.version import __version__

INPUTS, OUTPUT = ("inputs", "keypoint_mask"), "scores"
TOLERANCE = 1e-4
"""Largest difference of a score between torch and onnxruntime with which a file is kept."""
OPSET = 17  # the first with LayerNormalization
_BATCHES, _LENGTHS = (1, 8), (16, 33, 64)


class OnnxModel:
    """Scores of an exported file.

    Args:
        path: File of `export_onnx`.

    Attributes:
        description: Description of the model, from the metadata of the file.

    Raises:
        DatasetNotFoundError: If there is no such file.
        ConfigError: If it is no ONNX file, or not one of `export_onnx`.
        MissingExtraError: If onnxruntime is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        path, runtime = Path(path).expanduser(), _import("onnxruntime")
        if not path.is_file():
            raise DatasetNotFoundError(f"no file '{path}'; 'karsl export CHECKPOINT {path.name}' writes it")
        try:
            self._session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own
            raise ConfigError(f"'{path}' is not an ONNX file that onnxruntime reads ({first_line(error)})") from error
        self.description = _read_metadata(self._session.get_modelmeta().custom_metadata_map, path)

    def __call__(self, batch: Mapping[str, Any]) -> np.ndarray:
        """Return probabilities, float32 (N, K)."""
        arrays = {name: np.asarray(batch[name]) for name in INPUTS}
        return self._session.run([OUTPUT], arrays)[0]


def export_onnx(model: TorchModel, description: ModelDescription, path: str | Path) -> float:
    """Write a model as an ONNX file with any batch size and, if the model accepts it, any number of frames.

    The file is kept only if onnxruntime gives the scores of torch to 1e-4, for batches of 1 and 8 clips, 16 to 64 frames,
    missing keypoints and clips without any.

    Args:
        model: Model on the CPU.
        description: Its description, which is stored in the file.
        path: File to write.

    Returns:
        Largest difference of a score that was found.

    Raises:
        ConfigError: If the model cannot be exported, or its scores differ.
        MissingExtraError: If onnx or onnxruntime is not installed.
    """
    onnx, _ = _import("onnx"), _import("onnxruntime")
    network = _Scores(model.model).eval()
    example = _example(description)
    with atomic_path(path) as temporary:
        axes = {name: {0: "N", 1: "T"} for name in INPUTS} | {OUTPUT: {0: "N"}}
        options: dict[str, Any] = {"input_names": list(INPUTS), "output_names": [OUTPUT], "dynamic_axes": axes}
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")  # of shape checks, which become constants
                torch.onnx.export(network, example, str(temporary), opset_version=OPSET, dynamo=False, **options)
        except Exception as error:  # of any operator of a user's model
            raise ConfigError(f"the model cannot be exported: {first_line(error)}") from error
        content = onnx.load(str(temporary))
        onnx.helper.set_model_props(content, _metadata(description))
        onnx.save(content, str(temporary))
        difference = _largest_difference(network, OnnxModel(temporary), example)
        if not difference <= TOLERANCE:
            raise ConfigError(
                f"the scores of onnxruntime differ by {difference:.2g} from those of torch, more than {TOLERANCE:g}, so "
                f"'{path}' is not written; report the model"
            )
    return difference


class _Scores(nn.Module):
    """A recognizer as a function of two tensors."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor, keypoint_mask: Tensor) -> Tensor:
        return self.model(inputs, keypoint_mask, mode="tensor").float().softmax(dim=1)


def _example(description: ModelDescription) -> tuple[Tensor, Tensor]:
    """Return the model input of two random clips, as the pipeline makes it."""
    frames = description.clip_len or _LENGTHS[0]
    clips = np.random.default_rng(0).uniform(0.2, 0.8, (2, frames, description.skeleton.num_keypoints, 4))
    samples = ClipDataset(array_source(list(clips), description.skeleton), description.pipeline)
    inputs, mask = (torch.stack([torch.as_tensor(samples[n][name]) for n in range(2)]) for name in INPUTS)
    return inputs, mask


def _largest_difference(network: nn.Module, exported: OnnxModel, example: tuple[Tensor, Tensor]) -> float:
    differences = []
    for inputs, mask in _batches(example[0]):
        try:
            with torch.no_grad():
                expected = network(inputs, mask).numpy()
        except (ValueError, RuntimeError):  # a length that the model does not accept
            if inputs.shape[1] == example[0].shape[1]:
                raise
            continue
        try:
            scores = exported(dict(zip(INPUTS, (inputs, mask), strict=True)))
        except Exception as error:
            raise ConfigError(f"onnxruntime cannot run the model on {tuple(inputs.shape)}: {first_line(error)}") from error
        differences.append(float(np.abs(scores - expected).max()))
    return max(differences) if np.isfinite(differences).all() else float("nan")


def _batches(like: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    for count in _BATCHES:
        for length in (like.shape[1], *_LENGTHS):
            shape = (count, length, *like.shape[2:])
            mask = torch.rand(shape[:3], generator=generator) > 0.2
            mask[:, length // 2 :] &= torch.rand(count, 1, 1, generator=generator) > 0.5  # clips that end earlier
            mask[3:4] = False
            yield torch.randn(shape, generator=generator).masked_fill(~mask[..., None], 0), mask


def _metadata(description: ModelDescription) -> dict[str, str]:
    skeleton = description.skeleton
    bones = [list(bone) for bone in skeleton.bones]
    values = {
        "classes": description.metainfo.get("classes", ()),
        "clip_len": description.clip_len,
        "skeleton": {"name": skeleton.name, "parts": [[g, list(names)] for g, names in skeleton.parts], "bones": bones},
        "pipeline": description.pipeline,
        "metainfo": {key: value for key, value in description.metainfo.items() if key != "skeleton"},
        "collate": description.collate if description.collate.get("pad") else {},
        "version": __version__,
    }
    return {key: json.dumps(value, ensure_ascii=False, default=list) for key, value in values.items()}


def _read_metadata(texts: Mapping[str, str], path: Path) -> ModelDescription:
    try:
        values = {key: parse_json(texts[key]) for key in ("pipeline", "skeleton", "metainfo", "collate", "version")}
        pipeline = [registered_types(dict(step), path) for step in values["pipeline"]]
        collate, metainfo = registered_types(dict(values["collate"]), path), dict(values["metainfo"])
    except (KeyError, ValueError, TypeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"'{path}' has no metadata of karsl; export the checkpoint with 'karsl export'") from error
    check_stored(pipeline, metainfo, collate, path)
    skeleton = get_skeleton(values["skeleton"])
    return ModelDescription(pipeline, skeleton, metainfo, collate, version=str(values["version"]))


def _import(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise missing_extra("onnx", name) from error
