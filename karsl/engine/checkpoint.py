"""Checkpoints that load with `torch.load(weights_only=True)`, and checks that one fits a model and a dataset."""

from __future__ import annotations

import pickle
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner, find_latest_checkpoint
from torch import nn

from karsl.datasets.tree import walk_datasets
from karsl.errors import ConfigError, DatasetNotFoundError, KarslError, first_line, pluralize
from karsl.io.hashing import file_xxh3
from karsl.registry import HOOKS
from karsl.skeletons import describe_skeleton
from karsl.version import __version__

TYPE_KEY = "__karsl_kind__"
"""Marks a dict that encodes another object. No config or metainfo uses this key."""
TRAINING_KEY = "karsl"
"""Key of a checkpoint's `meta`: version of karsl, and skeleton of the training clips."""


@HOOKS.register_module()
class SafeCheckpointHook(Hook):
    """Write checkpoints that hold only tensors, numbers, strings, dicts and lists.

    MMEngine pickles its history buffers into checkpoints. torch >= 2.6 rejects them, so resuming fails; allowing the
    classes needs `getattr` on the list, which lets a checkpoint run code. This hook encodes the message hub and all other
    state on saving and decodes it on loading. Entries that cannot be encoded are left out and logged once.

    Before a run it reads the checkpoint that the run starts from, so that a damaged file is named. A run that resumes
    without a given checkpoint takes the latest one of its work dir, also if the work dir was moved or copied.
    """

    # After every other hook, so that what they add to the checkpoint is encoded too.
    priority = "LOWEST"

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def before_run(self, runner: Runner) -> None:
        """Find and check the checkpoint to start from; MMEngine loads it afterwards.

        Raises:
            ConfigError: If it cannot be read or resumed from.
            DatasetNotFoundError: If it does not exist.
        """
        if runner._has_loaded:
            return
        if runner._resume and runner._load_from is None:
            runner._load_from = latest_checkpoint(runner.work_dir)
        path = runner._load_from
        if path is not None and "://" not in str(path):
            content = read_checkpoint(path)
            if runner._resume:
                check_training_state(content, path)
                _name_checkpoint(runner, path)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add what inference needs besides the config, and encode everything but the weights."""
        dropped: list[str] = []
        if isinstance(checkpoint.get("meta"), dict):
            checkpoint["meta"][TRAINING_KEY] = _training_state(runner)
        weights = {"state_dict": checkpoint["state_dict"]} if "state_dict" in checkpoint else {}
        state = to_state({key: value for key, value in checkpoint.items() if key not in weights}, dropped)
        checkpoint.clear()
        checkpoint.update(state, **weights)
        new = [path for path in dropped if path not in self._logged]
        if new:
            self._logged.update(new)
            runner.logger.warning(f"left out of the checkpoint, because it cannot be saved as data: {', '.join(new)}")

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Decode into the objects that MMEngine expects."""
        for key in checkpoint.keys() - {"state_dict"}:
            checkpoint[key] = from_state(checkpoint[key])
        if isinstance(runner._train_loop, BaseLoop):
            _share_metainfo(checkpoint.get("meta", {}), runner.train_dataloader.dataset)


def _name_checkpoint(runner: Runner, path: str | Path) -> None:
    """Let the runner name the checkpoint if it cannot restore its state: the values of a damaged file may be anything."""
    restore = runner.load_or_resume

    def load_or_resume() -> None:
        try:
            restore()
        except KarslError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise ConfigError(
                f"checkpoint '{path}' cannot be resumed from ({reason}); use an earlier one, or start a new run with its "
                "weights: load_from without resume"
            ) from error

    runner.load_or_resume = load_or_resume


def _training_state(runner: Runner) -> dict[str, Any]:
    loop = runner._train_loop
    datasets = walk_datasets(loop.dataloader.dataset) if isinstance(loop, BaseLoop) else ()
    skeleton = next((found for dataset in datasets if (found := getattr(dataset, "skeleton", None)) is not None), None)
    return {"version": __version__, **({} if skeleton is None else {"skeleton": describe_skeleton(skeleton)})}


def _share_metainfo(meta: dict, dataset: Any) -> None:
    """Avoid a false warning: MMEngine compares the pickles of both metainfos, which differ between equal values."""
    current = getattr(dataset, "metainfo", None)
    try:
        same = bool(meta.get("dataset_meta") == current)
    except ValueError:  # arrays inside have no single truth value
        return
    if same:
        meta["dataset_meta"] = current


def read_checkpoint(path: str | Path) -> dict:
    """Load a checkpoint as weights-only data, memory-mapped, so that only what is used is read.

    Args:
        path: A local `.pth` file.

    Returns:
        The content as saved.

    Raises:
        DatasetNotFoundError: If the file does not exist.
        ConfigError: If the file is not a checkpoint, is truncated, or contains objects that could run code; for a work dir
            it names the latest checkpoint.
    """
    path = Path(path).expanduser()
    if path.is_dir() or path.name == "last_checkpoint":  # a work dir, or the file in it that names a checkpoint
        latest = latest_checkpoint(path if path.is_dir() else path.parent)
        if latest is not None:
            raise ConfigError(f"'{path}' is not a checkpoint; pass the latest one of this work dir, '{latest}'")
    if not path.is_file():
        raise DatasetNotFoundError(f"checkpoint '{path}' does not exist; 'karsl train' writes epoch_N.pth into its work dir")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise ConfigError(
            f"checkpoint '{path}' contains Python objects besides the weights, which could run code, and is refused; "
            "save it again with SafeCheckpointHook, or keep only its 'state_dict', from a source that you trust"
        ) from error
    except Exception as error:  # the bytes of a damaged file cause errors of any class
        raise ConfigError(f"checkpoint '{path}' cannot be read ({first_line(error)}); is it truncated?") from error
    if not isinstance(content, dict):
        raise ConfigError(f"checkpoint '{path}' contains a {type(content).__name__}, not the dict of a checkpoint")
    weights = content.get("state_dict", {})
    if not isinstance(weights, Mapping) or not all(isinstance(key, str) for key in weights):
        raise ConfigError(f"checkpoint '{path}' has a state_dict that is no dict of weights; is it damaged?")
    return content


def checkpoint_name(path: str | Path) -> str:
    """Return the name of a checkpoint file and the xxh3 of its content, which identifies it in score files."""
    path = Path(path).expanduser()
    return f"{path.name} xxh3:{file_xxh3(path)}"


def latest_checkpoint(work_dir: str | Path) -> str | None:
    """Return the latest checkpoint of a work dir, None if there is none.

    MMEngine writes its absolute path into `last_checkpoint`. A file of that name in the work dir is preferred, because the
    work dir may have been moved, or copied from one that still exists.

    Raises:
        ConfigError: If `last_checkpoint` is empty or not text.
        DatasetNotFoundError: If the checkpoint does not exist.
    """
    pointer = Path(work_dir) / "last_checkpoint"
    try:
        stored = find_latest_checkpoint(str(work_dir))
    except (UnicodeDecodeError, IsADirectoryError):
        stored = ""
    if stored is None:
        return None
    name = stored.replace("\\", "/").rpartition("/")[2]
    if not name or "\0" in stored:
        raise ConfigError(f"'{pointer}' names no checkpoint; pass the checkpoint to resume from")
    candidates = [str(Path(work_dir) / name), stored]
    found = next((path for path in candidates if Path(path).is_file()), None)
    if found is None and "://" not in stored:
        raise DatasetNotFoundError(f"'{pointer}' names '{stored}', which does not exist; pass the checkpoint to resume from")
    return found or stored


def check_training_state(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Reject a checkpoint that holds weights only for resuming.

    Args:
        checkpoint: Result of `read_checkpoint`.
        path: Its path, for the message.

    Raises:
        ConfigError: If the epoch or iteration is missing.
    """
    meta = checkpoint.get("meta")
    counts = [meta.get("epoch"), meta.get("iter")] if isinstance(meta, Mapping) else [None]
    if not all(type(count) is int and count >= 0 for count in counts) or "state_dict" not in checkpoint:
        raise ConfigError(
            f"checkpoint '{path}' has no epoch and iteration to resume from; start a new run with its weights: "
            "load_from without resume"
        )


def check_weights(model: nn.Module, checkpoint: Mapping[str, Any]) -> None:
    """Reject a checkpoint that does not set all weights of the model. MMEngine only logs a mismatch.

    Args:
        model: Model, also in a wrapper for distributed training.
        checkpoint: Result of `read_checkpoint`.

    Raises:
        ConfigError: If weights are missing or have another shape; names the first.
    """
    weights = (model.module if is_model_wrapper(model) else model).state_dict()  # type: ignore[union-attr]  # a module
    stored = checkpoint.get("state_dict", checkpoint)
    stored = {key.removeprefix("module."): value for key, value in stored.items() if hasattr(value, "shape")}
    mismatches = [
        f"{key} is {tuple(value.shape)} in the model and {_shape(stored.get(key))} in the checkpoint"
        for key, value in weights.items()
        if _shape(stored.get(key)) != tuple(value.shape)
    ]
    if mismatches:
        more = f" (and {len(mismatches) - 1} more)" if len(mismatches) > 1 else ""
        raise ConfigError(
            f"the checkpoint does not fit the config's model: {mismatches[0]}{more}; use the config it was trained with"
        )


def check_classes(runner: Runner, checkpoint: Mapping[str, Any]) -> None:
    """Refuse to test on other classes than those of the checkpoint.

    Classes are identified by their SignIDs if both sides have them: adding or correcting a label table only changes
    glosses, which is logged.

    Args:
        runner: Runner with the test dataset.
        checkpoint: Result of `read_checkpoint`. Without stored metainfo nothing is checked.

    Raises:
        ConfigError: If the class lists differ.
    """
    stored = stored_metainfo(checkpoint)
    tested = getattr(runner.test_loop.dataloader.dataset, "metainfo", None) or {}
    key = "signs" if stored.get("signs") and tested.get("signs") else "classes"
    difference = _difference(stored, tested, key)
    if difference:
        raise ConfigError(
            f"the checkpoint has {difference}; test on the signs it was trained on (filter_cfg 'signs' or 'subset')"
        )
    glosses = _difference(stored, tested, "classes")
    if glosses:
        runner.logger.info(f"same signs with other glosses: the checkpoint has {glosses}")


def stored_metainfo(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the metainfo of the training dataset that a checkpoint contains, empty if it contains none."""
    return (checkpoint.get("meta") or {}).get("dataset_meta") or {}


def _difference(stored: Mapping[str, Any], tested: Mapping[str, Any], key: str) -> str:
    """Describe the first difference of two class lists; empty if they are equal or one is unknown."""
    known, found = stored.get(key), tested.get(key)
    if known is None or found is None or list(known) == list(found):
        return ""
    if len(known) != len(found):
        return f"{pluralize(len(known), 'class')}, the test dataset {len(found)}"
    label = next(i for i, (a, b) in enumerate(zip(known, found, strict=True)) if a != b)
    noun = "sign " if key == "signs" else ""
    return f"label {label} as {noun}{known[label]!r}, the test dataset as {noun}{found[label]!r}"


def _shape(value: Any) -> tuple[int, ...] | None:
    return None if value is None else tuple(value.shape)


class NotStateError(TypeError):
    """Raised for a value that cannot be saved as data: a function, a module, a file handle."""


def to_state(value: Any, dropped: list[str], path: str = "") -> Any:
    """Encode training state as tensors, numbers, strings, dicts, lists and tuples.

    History buffers, numpy arrays and bytes become marked dicts, which `from_state` decodes; numpy scalars, paths and dict
    subclasses become the corresponding built-ins. Dict entries that cannot be encoded are left out.

    Args:
        value: Value to encode; not modified.
        dropped: Receives the dotted path of each entry left out.
        path: Dotted path of `value`.

    Returns:
        The encoded value; tensors are the same objects.

    Raises:
        NotStateError: If `value` itself cannot be encoded.

    Example:
        >>> dropped = []
        >>> to_state({"lr": np.float64(0.5), "hook": print}, dropped), dropped
        ({'lr': 0.5}, ['hook'])
    """
    if value is None or isinstance(value, (torch.Tensor, torch.Size, torch.dtype, bool)):
        return value
    if isinstance(value, (bytes, bytearray)):  # weights-only loading rejects the type
        return {TYPE_KEY: "bytes", "data": torch.tensor(list(value), dtype=torch.uint8)}
    if isinstance(value, np.generic):
        return value.item()
    builtin = next((base for base in (int, float, complex, str) if isinstance(value, base)), None)
    if builtin is not None:  # a subclass such as IntEnum becomes the built-in
        return builtin(value)
    if isinstance(value, HistoryBuffer):
        log, count = value.data
        arrays = {"log": torch.from_numpy(np.array(log)), "count": torch.from_numpy(np.array(count))}
        return {TYPE_KEY: "history", **arrays, "max_length": int(value.max_length)}
    if isinstance(value, np.ndarray):
        return _array_state(value, path)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        mapping = OrderedDict if isinstance(value, OrderedDict) else dict
        return mapping(_item_states(value, dropped, path))
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        items = [to_state(item, dropped, f"{path}[{i}]") for i, item in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else set(items) if isinstance(value, (set, frozenset)) else items
    raise NotStateError(f"{path} is a {type(value).__name__}")


def _item_states(value: Mapping, dropped: list[str], path: str) -> Iterator[tuple[Any, Any]]:
    for key, item in value.items():
        item_path = f"{path}.{key}" if path else str(key)
        try:
            yield to_state(key, dropped, item_path), to_state(item, dropped, item_path)
        except NotStateError:
            dropped.append(item_path)


def _array_state(value: np.ndarray, path: str) -> dict[str, Any]:
    if value.dtype.kind in "biufc" and value.dtype.isnative:
        return {TYPE_KEY: "array", "data": torch.from_numpy(np.array(value))}
    if value.dtype.kind in "US":
        return {TYPE_KEY: "array", "data": value.tolist(), "dtype": value.dtype.str}
    raise NotStateError(f"{path} is an array of {value.dtype}")


def from_state(value: Any) -> Any:
    """Decode the result of `to_state`.

    Example:
        >>> from_state(to_state({"a": np.array([1, 2])}, []))
        {'a': array([1, 2])}
    """
    if isinstance(value, Mapping):
        kind = value.get(TYPE_KEY)
        if kind == "history":
            return HistoryBuffer(value["log"].cpu().numpy(), value["count"].cpu().numpy(), value["max_length"])
        if kind == "bytes":
            return bytes(value["data"].tolist())
        if kind == "array":
            data = value["data"]
            return data.cpu().numpy() if isinstance(data, torch.Tensor) else np.array(data, dtype=value["dtype"])
        mapping = OrderedDict if isinstance(value, OrderedDict) else dict
        return mapping((key, from_state(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        return type(value)(from_state(item) for item in value)
    return value
