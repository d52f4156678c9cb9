"""Scores of a model of torch, built from the config in its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from karsl.engine.checkpoint import check_weights
from karsl.errors import ConfigError, first_line
from karsl.inference.stored_config import ModelDescription
from karsl.registry import MODELS
from karsl.version import __version__


class TorchModel:
    """Scores of a model of torch.

    Args:
        description: Description with the config of the model.
        checkpoint: Content of the checkpoint.
        path: Its path, for errors.
        device: See `Recognizer.from_checkpoint`.

    Raises:
        ConfigError: If the model cannot be built or the weights do not fit it.
    """

    def __init__(
        self, description: ModelDescription, checkpoint: Mapping[str, Any], path: str | Path, device: str = "auto"
    ) -> None:
        self.model = _build_model(description, path)
        check_weights(self.model, checkpoint)
        weights = {key.removeprefix("module."): value for key, value in checkpoint["state_dict"].items()}
        self.model.load_state_dict(weights, strict=False)  # none is missing
        self.model.eval().to(_device(device))

    def __call__(self, batch: dict[str, Any]) -> np.ndarray:
        """Return probabilities, float32 (N, K)."""
        with torch.no_grad():
            results = self.model.test_step(batch)
        try:
            return np.stack([torch.as_tensor(result["pred_score"]).float().cpu().numpy() for result in results])
        except (TypeError, KeyError) as error:
            name = type(self.model).__name__
            raise ConfigError(
                f"{name} returns no 'pred_score' per clip in mode 'predict', as KeypointRecognizer does"
            ) from error


def _build_model(description: ModelDescription, path: str | Path) -> Any:
    cfg = dict(description.model)
    if isinstance(cfg.get("data_preprocessor"), Mapping):  # `pack` is that of the training data, for device_collate
        cfg["data_preprocessor"] = {key: value for key, value in cfg["data_preprocessor"].items() if key != "pack"}
    try:
        return MODELS.build(cfg)
    except (ConfigError, TypeError, ValueError, KeyError) as error:
        written = f"was written by karsl {description.version}, this is {__version__}" if description.version else ""
        other = f"; the file {written}" if written and description.version != __version__ else ""
        raise ConfigError(f"checkpoint '{path}': its model cannot be built: {error}{other}") from error


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {name!r} cannot be used ({first_line(error)}); use 'cpu' or 'auto'") from error
    return device
