"""Read a config, text or pure Python, and say in one sentence what is wrong with it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmengine.config import Config

from karsl.engine.config.keys import check_keys
from karsl.engine.config.loaders import check_loaders
from karsl.engine.config.overrides import override, set_ann_file, set_data_root
from karsl.engine.config.shipped import find_config, naming_shipped
from karsl.engine.config.walk import own_keys
from karsl.errors import ConfigError, DatasetNotFoundError

_SUFFIXES = (".py", ".json", ".yaml", ".yml")


def load_config(
    path: str | Path,
    options: Mapping[str, Any] | None = None,
    *,
    data_root: str | Path | None = None,
    ann_file: str | Path | None = None,
) -> Config:
    """Load a config and apply what the command line changes.

    Args:
        path: A config in MMEngine's text style (`_base_`) or pure-Python style (`read_base`), which may start from
            `karsl.configs.NAME`; `configs/NAME.py` is a shipped one where no such file is there.
        options: Dotted keys and values, as from `--cfg-options`; see `override`.
        data_root: Replaces the data root of every dataset in the config.
        ann_file: Read by every dataset in the config, see `set_ann_file`.

    Returns:
        The config; `work_dir` is `work_dirs/<name of the file>` unless given.

    Raises:
        DatasetNotFoundError: The file is not there.
        ConfigError: It does not parse, fails while it runs, or has a mistyped key; names file and line.
    """
    cfg = _read(find_config(Path(path)))
    override(cfg, options or {})
    if data_root is not None:
        set_data_root(cfg, data_root)
    if ann_file is not None:
        set_ann_file(cfg, ann_file)
    check_keys(own_keys(cfg))
    check_loaders(cfg)
    if cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs") / Path(path).stem)
    return cfg


def _read(path: Path) -> Config:
    if not path.is_file():
        near = get_close_matches(path.name, [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else [])
        hint = f"; did you mean '{path.parent / near[0]}'?" if near else ""
        raise DatasetNotFoundError(f"config '{path}' does not exist{hint}")
    if path.suffix not in _SUFFIXES:
        raise ConfigError(f"config '{path}' is not one of {', '.join(_SUFFIXES)}")
    try:
        with naming_shipped():
            return Config.fromfile(path)
    except Exception as error:  # a config is a program: it can raise anything
        raise ConfigError(_explain(path, error)) from error


def _explain(path: Path, error: Exception) -> str:
    if isinstance(error, SyntaxError):
        # MMEngine parses the text without its name
        name = error.filename if error.filename and Path(error.filename).is_file() else path
        return f"config '{name}', line {error.lineno}: {error.msg}: {(error.text or '').strip()}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_config(frame.filename, path)]
    place = f"config '{frames[-1].filename}', line {frames[-1].lineno}" if frames else f"config '{path}'"
    code = f" in `{frames[-1].line}`" if frames and frames[-1].line else ""
    return f"{place}: {_reason(error)}{code}"


def _is_config(filename: str, path: Path) -> bool:
    file = Path(filename)
    return file.is_file() and (file.resolve() == path.resolve() or "mmengine" not in file.parts) and file != Path(__file__)


def _reason(error: Exception) -> str:
    raised_by = traceback.extract_tb(error.__traceback__)[-1]
    if isinstance(error, RuntimeError) and raised_by.name == "__call__" and raised_by.filename.endswith("lazy.py"):
        return "imports of a pure-Python config are recorded, not run, so what they bring cannot be called here"
    if isinstance(error, KeyError):
        return f"no key {error.args[0]!r}" if error.args else "missing key"
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(": ")
