"""One stream of the keypoints, such as bones, as the input of the model of a config."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from mmengine.config import Config

from karsl.datasets.transforms.streams import FEATS
from karsl.engine.config.tree import LOADERS, mappings
from karsl.errors import ConfigError, did_you_mean, type_name

_FEATURES, _PACK = "SkeletonFeatures", "PackKeypointInputs"


def set_stream(cfg: Config, stream: str) -> None:
    """Make one stream of the keypoints the input of the model.

    The streams of a SkeletonFeatures step are replaced; without one, such a step is put before PackKeypointInputs.

    Args:
        cfg: Modified in place: the pipelines of all data loaders.
        stream: `'joint'`, `'bone'`, `'joint_motion'` or `'bone_motion'`.

    Raises:
        ConfigError: If there is no such stream, or no step that packs the keypoints.
    """
    if stream not in FEATS:
        known = ", ".join(FEATS)
        raise ConfigError(f"stream '{stream}' is unknown{did_you_mean(stream, FEATS, f'known: {known}')}")
    loaders = [name for name in LOADERS if cfg.get(name)]
    for name in loaders:
        pipelines = [node[key] for node in mappings(cfg[name].dataset) for key in ("pipeline", "transform") if node.get(key)]
        if sum(_set_in_pipeline(steps, stream) for steps in pipelines if isinstance(steps, list)) == 0:
            raise ConfigError(f"stream '{stream}': no pipeline of the {name} has a {_PACK} step, which it precedes")


def _set_in_pipeline(steps: list[Any], stream: str) -> bool:
    """Return True if the pipeline computes the stream now."""
    names = [_step_type(step) for step in steps]
    if _FEATURES in names:
        steps[names.index(_FEATURES)]["feats"] = [stream]
    elif _PACK in names:
        steps.insert(names.index(_PACK), {"type": f"karsl.{_FEATURES}", "feats": [stream], "output": "keypoint"})
    return _FEATURES in names or _PACK in names


def _step_type(step: Any) -> str:
    return type_name(step).rpartition(".")[2] if isinstance(step, MutableMapping) else ""
