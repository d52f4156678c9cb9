"""The parts of a checkpoint that inference needs: model, test pipeline, skeleton and classes; read without running code."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
from mmengine.registry import Registry

from karsl.engine.checkpoint import TRAINING_KEY, read_checkpoint
from karsl.engine.config.tree import dataset_configs
from karsl.errors import ConfigError, first_line
from karsl.io.array_layout import ArrayLayout
from karsl.registry import FUNCTIONS, MODELS, TRANSFORMS, WEIGHT_INITIALIZERS
from karsl.schema import convert
from karsl.skeletons import Skeleton, get_skeleton

_LOADERS = ("test_dataloader", "val_dataloader")
_NUMBERS = {"inf": math.inf, "nan": math.nan}
_Names = list[str | int | float] | None


@dataclass(frozen=True)
class _Step:
    """Keys of a transform's config that inference reads."""

    type: str
    clip_len: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None


@dataclass(frozen=True)
class _Metainfo:
    """Keys of the metainfo that inference reads."""

    classes: _Names = None
    classes_ar: _Names = None
    signs: _Names = None


@dataclass(frozen=True)
class _Stored:
    """Values of a file that describe a model."""

    pipeline: list[_Step]
    metainfo: _Metainfo
    collate: dict[str, Any]


def check_stored(pipeline: Any, metainfo: Any, collate: Any, path: str | Path) -> None:
    """Check the values of a checkpoint or ONNX file that a `ModelDescription` is made of.

    Raises:
        ConfigError: If one of them has another type or range.
    """
    stored = {"pipeline": pipeline, "metainfo": metainfo, "collate": collate}
    remedy = "is it damaged, or made by another program?"
    convert(stored, _Stored, where=f"'{path}'", error=ConfigError, remedy=remedy)


@dataclass(frozen=True)
class ModelDescription:
    """Everything that turns a clip into the input of a model, and its scores into classes; plain data, as in JSON.

    Attributes:
        pipeline: Configs of the transforms of the test dataset.
        skeleton: Skeleton of the clips before the pipeline.
        metainfo: Metainfo of the training dataset: `classes`, and `classes_ar`, `signs` if known.
        collate: Config of the collate function.
        model: Config of the model.
        version: Version of karsl that wrote the checkpoint; empty if unknown.
    """

    pipeline: list[dict[str, Any]]
    skeleton: Skeleton
    metainfo: Mapping[str, Any] = field(default_factory=dict)
    collate: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""

    @property
    def clip_len(self) -> int | None:
        """Number of frames of the model input, if the pipeline determines it."""
        return next((step["clip_len"] for step in self.pipeline if "clip_len" in step), None)


def read_description(path: str | Path) -> tuple[ModelDescription, dict[str, Any]]:
    """Read a checkpoint.

    Args:
        path: A `.pth` file of `karsl train`, or of MMEngine's Runner with `SafeCheckpointHook`.

    Returns:
        The description, and the content of the checkpoint.

    Raises:
        DatasetNotFoundError: If the file does not exist.
        ConfigError: If it is damaged, has no config, or its config has no test pipeline or an unknown type.
    """
    checkpoint = read_checkpoint(path)
    meta = _mapping(checkpoint.get("meta"))
    text = meta.get("cfg")
    if not isinstance(text, str) or "state_dict" not in checkpoint:
        raise ConfigError(
            f"checkpoint '{path}' has no config, which predictions need; use one of 'karsl train', or of MMEngine's Runner "
            "with SafeCheckpointHook"
        )
    try:
        cfg = parse_config(text, ("model", *_LOADERS))
        loader = _mapping(cfg.get(_LOADERS[0]) or cfg.get(_LOADERS[1]))
        pipeline = stored_pipeline(loader.get("dataset"))
    except ConfigError as error:
        raise ConfigError(f"checkpoint '{path}': {error}") from error
    dataset = next((d for d in dataset_configs(loader.get("dataset")) if d.get("pipeline")), None)
    if dataset is None or not pipeline or not isinstance(cfg.get("model"), dict):
        raise ConfigError(
            f"checkpoint '{path}': its config has no model, or no test_dataloader with a pipeline to predict by"
        )
    written = _mapping(meta.get(TRAINING_KEY))
    metainfo = dict(_mapping(meta.get("dataset_meta")))
    skeleton = written.get("skeleton") or _skeleton_of(dataset, metainfo)
    if skeleton is None:
        raise ConfigError(f"checkpoint '{path}': neither its config nor its metainfo names the skeleton of the clips")
    collate = _mapping(loader.get("collate_fn"))
    check_stored(pipeline, metainfo, collate, path)
    description = ModelDescription(
        pipeline=[registered_types(dict(step), path) for step in pipeline],
        skeleton=get_skeleton(skeleton),
        metainfo=metainfo,
        collate=registered_types(collate, path),
        model=registered_types(cfg["model"], path),
        version=str(written.get("version", "")),
    )
    return description, checkpoint


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return a value if it is a mapping, else an empty one: values of a file may be anything."""
    return value if isinstance(value, Mapping) else {}


def stored_pipeline(dataset: Any) -> list[dict[str, Any]]:
    """Return the transforms of the first dataset of a config that has a pipeline, then those of the `MapDataset`s around it.

    Raises:
        ConfigError: If a `MapDataset` names a function.

    Example:
        >>> stored_pipeline({"dataset": {"pipeline": [{"type": "A"}]}, "transform": {"type": "B"}})
        [{'type': 'A'}, {'type': 'B'}]
    """
    if isinstance(dataset, (list, tuple)):
        return next((found for item in dataset if (found := stored_pipeline(item))), [])
    if not isinstance(dataset, Mapping):
        return []
    if isinstance(dataset.get("pipeline"), (list, tuple)) and dataset["pipeline"]:
        return list(dataset["pipeline"])
    steps = stored_pipeline(dataset.get("datasets", dataset.get("dataset", dataset.get("source"))))
    outer = dataset.get("transform") or []
    outer = list(outer) if isinstance(outer, (list, tuple)) else [outer]
    if not all(isinstance(step, Mapping) for step in outer):
        raise ConfigError(
            f"its test dataset has transform={outer!r}, a function; register it as a transform and name it by type"
        )
    return steps + outer if steps else []


def parse_config(text: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """Evaluate assignments in the text of a config, as MMEngine stores it: literals and `dict(...)` only.

    Args:
        text: Python code.
        keys: Names to read; others are skipped.

    Raises:
        ConfigError: If the text is no Python, or a value is made in another way.

    Example:
        >>> parse_config("a = dict(b=[1, -2.5], c=(None, 'x'))\\nimport os", ("a",))
        {'a': {'b': [1, -2.5], 'c': (None, 'x')}}
    """
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"its config cannot be parsed ({first_line(error)}); was it made by another program?") from error
    found = {}
    for statement in statements:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            if name in keys:
                try:
                    found[name] = _evaluate(statement.value, name)
                except (TypeError, RecursionError) as error:  # a list as key, -'text', deep nesting
                    raise ConfigError(
                        f"its config has no value for {name!r} ({first_line(error)}); is it damaged?"
                    ) from error
    return found


def _evaluate(node: ast.expr, where: str) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
        return {k.arg: _evaluate(k.value, f"{where}.{k.arg}") for k in node.keywords if k.arg is not None}
    if isinstance(node, ast.Dict) and None not in node.keys:
        keys = [_evaluate(key, where) for key in node.keys if key is not None]
        return {key: _evaluate(value, f"{where}.{key}") for key, value in zip(keys, node.values, strict=True)}
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        kind = {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)]
        return kind(_evaluate(item, f"{where}[{i}]") for i, item in enumerate(node.elts))
    if (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.USub)
        and isinstance(node.operand, (ast.Constant, ast.Name))
    ):
        return -_evaluate(node.operand, where)
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name) and node.id in _NUMBERS:
        return _NUMBERS[node.id]
    raise ConfigError(f"{where} is {ast.unparse(node)[:80]!r} in its config, which is not plain data and is not run")


def registered_types(node: Any, path: str | Path) -> Any:
    """Return a config in which each `type` is the name of a registered class.

    A name with dots, as pure-Python configs store it, would make MMEngine import any module that the file names.

    Raises:
        ConfigError: If no class of that name is registered.
    """
    if isinstance(node, Mapping):
        out = {key: registered_types(value, path) for key, value in node.items()}
        if isinstance(out.get("type"), str):
            out["type"] = _registered_name(out["type"], path)
        return out
    return type(node)(registered_types(item, path) for item in node) if isinstance(node, (list, tuple)) else node


def _registered_name(name: str, path: str | Path) -> str:
    short = name.rpartition(".")[2]
    for registry in (MODELS, TRANSFORMS, FUNCTIONS, WEIGHT_INITIALIZERS):
        registry.import_from_location()
        if any(short in level.module_dict for level in _levels(registry)):
            return short
    raise ConfigError(
        f"checkpoint '{path}': no class {name!r} is registered; import its module first, with --import MODULE on the "
        "command line"
    )


def _levels(registry: Registry | None) -> Iterator[Registry]:
    while registry is not None:
        yield registry
        registry = registry.parent


def _skeleton_of(dataset: Mapping[str, Any], metainfo: Mapping[str, Any]) -> Any:
    """Return the skeleton of a checkpoint that does not store it."""
    if dataset.get("skeleton") is None and dataset.get("layout") is not None:
        return ArrayLayout.parse(dataset["layout"]).skeleton
    return dataset.get("skeleton") or metainfo.get("skeleton")
