"""Does a checkpoint fit a model and a dataset? MMEngine logs a mismatch and goes on with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from karsl.errors import ConfigError


def check_weights(runner: Runner, checkpoint: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that leaves weights of the model untouched.

    Args:
        runner: Its model is looked at.
        checkpoint: From `read_checkpoint`.

    Raises:
        ConfigError: Weights are absent or of another shape; names the first.
    """
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    stored = checkpoint.get("state_dict", checkpoint)
    stored = {key.removeprefix("module."): value for key, value in stored.items() if hasattr(value, "shape")}
    wrong = [
        f"{key} is {tuple(value.shape)} in the model and {_shape(stored.get(key))} in the checkpoint"
        for key, value in model.state_dict().items()
        if _shape(stored.get(key)) != tuple(value.shape)
    ]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise ConfigError(
            f"the checkpoint does not fit the config's model: {wrong[0]}{more}; use the config it was trained with"
        )


def check_classes(runner: Runner, checkpoint: Mapping[str, Any]) -> None:
    """Refuse to test on other classes than those of the checkpoint.

    Classes are told by their SignIDs where both sides have them: a label sheet that was added, or corrected, only gives
    them other glosses, which is logged.

    Args:
        runner: Its test dataset is looked at.
        checkpoint: From `read_checkpoint`; without stored metainfo nothing is checked.

    Raises:
        ConfigError: The class lists differ.
    """
    stored = stored_metainfo(checkpoint)
    tested = getattr(runner.test_loop.dataloader.dataset, "metainfo", None) or {}
    key = "signs" if stored.get("signs") and tested.get("signs") else "classes"
    what = _difference(stored, tested, key)
    if what:
        raise ConfigError(
            f"the checkpoint knows {what}; test on the signs it was trained on (filter_cfg 'signs' or 'subset')"
        )
    glosses = _difference(stored, tested, "classes")
    if glosses:
        runner.logger.info(f"the same signs under other glosses: the checkpoint knows {glosses}")


def _difference(stored: Mapping[str, Any], tested: Mapping[str, Any], key: str) -> str:
    """How two lists of classes differ, in a few words; empty where they do not, or one side says nothing."""
    known, found = stored.get(key), tested.get(key)
    if known is None or found is None or list(known) == list(found):
        return ""
    if len(known) != len(found):
        return f"{len(known)} classes, the test dataset {len(found)}"
    label = next(i for i, (a, b) in enumerate(zip(known, found, strict=True)) if a != b)
    one = "sign " if key == "signs" else ""
    return f"label {label} as {one}{known[label]!r}, the test dataset as {one}{found[label]!r}"


def stored_metainfo(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """Metainfo of the training dataset as the checkpoint holds it; empty when it holds none."""
    return (checkpoint.get("meta") or {}).get("dataset_meta") or {}


def _shape(value: Any) -> tuple[int, ...] | None:
    return None if value is None else tuple(value.shape)
