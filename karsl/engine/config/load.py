"""Loading of configs, text or pure Python, with overrides from the command line."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.config import config as mmengine_config
from mmengine.fileio.handlers import yaml_handler
from mmengine.logging import print_log

from karsl.engine.config.errors import check_keys, check_loader, runner_keys
from karsl.engine.config.loaders import check_loaders
from karsl.engine.config.tree import LOADERS, dataset_configs, mappings, user_keys
from karsl.errors import ConfigError, DatasetNotFoundError, did_you_mean
from karsl.io.yaml_files import PlainLoader

_SUFFIXES = (".py", ".json", ".yaml", ".yml")
_WORK_DIRS = Path("work_dirs")
_SHIPPED_FILE = Path("configs", "_base_", "default_runtime.py")
# Arguments of StreamDataset and TarDataset that name their files, in place of a data root.
_FILE_ARGUMENTS = frozenset(("source", "tars"))


def load_config(
    path: str | Path,
    options: Mapping[str, Any] | None = None,
    *,
    data_root: str | Path | None = None,
    ann_file: str | Path | None = None,
    split_file: str | Path | None = None,
) -> Config:
    """Load a config and apply overrides.

    Args:
        path: A config in MMEngine's text style (`_base_`) or pure-Python style (`read_base`), which may start from
            `karsl.configs.NAME`. `configs/NAME.py` is a shipped config if no such file exists.
        options: Dotted keys and values, as from `--cfg-options`; see `override`.
        data_root: Data root for every dataset in the config.
        ann_file: Annotation file for every dataset in the config, see `set_ann_file`.
        split_file: Split file for every dataset in the config, see `set_split_file`.

    Returns:
        The config; `work_dir` defaults to `work_dirs/<name of the file>`, also if a shipped config that it inherits from has
        one of its own name.

    Raises:
        DatasetNotFoundError: If the file does not exist.
        ConfigError: If it does not parse, fails while it runs, or has a mistyped key; names file and line.
    """
    cfg = _read(find_config(Path(path)))
    override(cfg, options or {})
    if data_root is not None:
        set_data_root(cfg, data_root)
    if ann_file is not None:
        set_ann_file(cfg, ann_file)
    if split_file is not None:
        set_split_file(cfg, split_file)
    check_keys(user_keys(cfg))
    if wrong := [name for name in LOADERS if not isinstance(cfg.get(name) or {}, Mapping)]:
        raise ConfigError(f"config '{path}': {wrong[0]} is {cfg[wrong[0]]!r}; expected a dict")
    check_loaders(cfg)
    if cfg.get("work_dir") is None or _is_inherited(cfg.work_dir):
        cfg.work_dir = str(_WORK_DIRS / Path(path).stem)
    return cfg


def load_loader(config: str | Path, phase: str, options: Mapping[str, Any] | None = None, **data: Any) -> tuple[Any, str]:
    """Load a config; return the config of one loader, and the registry scope of its type names.

    Args:
        config: As for `load_config`.
        phase: `train`, `val` or `test`.
        options: As for `load_config`.
        **data: `data_root` and `ann_file` of `load_config`.

    Raises:
        ConfigError: If the config has no such loader, or a type or argument in it is unknown.
    """
    cfg = load_config(config, options, **data)
    loader = cfg.get(f"{phase}_dataloader")
    if not loader or not loader.get("dataset"):
        phases = [name.removesuffix("_dataloader") for name in LOADERS if cfg.get(name)]
        raise ConfigError(f"config '{config}' has no {phase}_dataloader; it has {', '.join(phases) or 'none'}")
    types = [node.get("type") for node in dataset_configs(loader.dataset)]
    if wrong := [kind for kind in types if kind is not None and not isinstance(kind, str) and not callable(kind)]:
        raise ConfigError(f"config '{config}': a dataset of the {phase}_dataloader has type={wrong[0]!r}; expected a name")
    scope = cfg.get("default_scope", "karsl")
    check_loader(loader, f"{phase}_dataloader", scope)
    return loader, scope


def _read(path: Path) -> Config:
    if not path.is_file():
        near = get_close_matches(path.name, [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else [])
        hint = f"; did you mean '{path.parent / near[0]}'?" if near else ""
        raise DatasetNotFoundError(f"config '{path}' does not exist{hint}")
    if path.suffix not in _SUFFIXES:
        raise ConfigError(f"config '{path}' is not one of {', '.join(_SUFFIXES)}")
    try:
        with patch_mmengine():
            return Config.fromfile(path)
    except Exception as error:  # a config is a program: it can raise anything
        raise ConfigError(_explain(path, error)) from error


def _explain(path: Path, error: Exception) -> str:
    """Describe an error in one sentence with file, line and code."""
    if isinstance(error, SyntaxError):
        # MMEngine parses the text without its file name
        name = error.filename if error.filename and Path(error.filename).is_file() else path
        return f"config '{name}', line {error.lineno}: {error.msg}: {(error.text or '').strip()}"
    if isinstance(error, ImportError) and isinstance(error.__cause__, ImportError):  # of MMEngine, with the entire sys.path
        return f"config '{path}': {error.__cause__} (custom_imports): {_explain_import(error.__cause__)}"
    raised = traceback.extract_tb(error.__traceback__)
    configs = {frame.filename for frame in raised if frame.name == "<module>" and Path(frame.filename).is_file()}
    frames = [frame for frame in raised if frame.filename in configs]
    where = f"config '{frames[-1].filename}', line {frames[-1].lineno}" if frames else f"config '{path}'"
    code = f" in `{frames[-1].line}`" if frames and frames[-1].line else ""
    if isinstance(error, RuntimeError) and raised[-1].name == "__call__" and raised[-1].filename.endswith("lazy.py"):
        reason = "imports of a pure-Python config are recorded, not run, so they cannot be called here"
    elif isinstance(error, KeyError):
        reason = f"no key {error.args[0]!r}" if error.args else "missing key"
    else:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(": ")
    return f"{where}: {reason}{code}"


def _explain_import(error: ImportError) -> str:
    """Describe why a module of `custom_imports` cannot be imported; MMEngine raises an error without the reason."""
    reason = error.__context__ or error
    name = getattr(reason, "name", None)
    if isinstance(reason, ModuleNotFoundError) and f"{error}.".startswith(f"Failed to import {name}."):
        return f"no module '{name}'; if it is in this folder, start with 'PYTHONPATH=. karsl ...'"
    return f"{type(reason).__name__}: {reason}"


def override(cfg: Config, options: Mapping[str, Any]) -> None:
    """Apply dotted keys to a config.

    A variable of the config (`clip_len = 32`) was copied into the pipelines when the file ran, and MMEngine changes
    only the variable. Here each nested key of the same name that still has the same value changes with it.

    Args:
        cfg: Modified in place.
        options: `{'train_cfg.max_epochs': 3, 'clip_len': 16}`; numbers address list items. A key of `follow_dataset` keeps
            the value given here.

    Raises:
        ConfigError: If a key does not exist, or nothing reads the changed variable.
    """
    variables = {key: cfg[key] for key in options if key in cfg and key not in runner_keys()}
    for key in options:
        first = key.partition(".")[0]
        if first not in cfg and first not in runner_keys():
            hint = did_you_mean(first, [*user_keys(cfg), *runner_keys()])
            raise ConfigError(f"--cfg-options {key}: the config has no '{first}'{hint}")
    try:
        cfg.merge_from_dict(dict(options))
    except (KeyError, TypeError, IndexError, ValueError) as error:
        reason = error.args[0] if error.args else type(error).__name__
        raise ConfigError(f"--cfg-options {' '.join(options)}: {reason}") from error
    if cfg.get("follow_dataset"):
        cfg.follow_dataset = [
            path for path in cfg.follow_dataset if not any(f"{path}.".startswith(f"{o}.") for o in options)
        ]
    for name, old in variables.items():
        count = _replace_copies(cfg, name, old, options[name])
        if not count:
            raise ConfigError(
                f"--cfg-options {name}: the config used this variable in a computation when it was read, so changing it "
                "has no effect; edit the config, or override the keys that Runner reads, e.g. train_dataloader.batch_size"
            )
        print_log(f"--cfg-options {name}={options[name]!r} changed {count} keys of that name", logger="current")


def _replace_copies(cfg: Config, name: str, old: Any, new: Any) -> int:
    copies = [
        node
        for key in user_keys(cfg)
        for node in mappings(cfg[key])
        if name in node and type(node[name]) is type(old) and node[name] == old
    ]
    for node in copies:
        node[name] = new
    return len(copies)


def set_data_root(cfg: Config, data_root: str | Path) -> None:
    """Set the data root of every dataset of a config, wrapped ones included.

    Args:
        cfg: Modified in place; its variable `data_root`, if any, changes too.
        data_root: The new root.

    Raises:
        ConfigError: If the config has no dataset, or one that reads no data root.
    """
    for dataset in _file_datasets(cfg, f"--data-root {data_root}"):
        dataset["data_root"] = str(data_root)
    if "data_root" in cfg:
        cfg.data_root = str(data_root)


def set_ann_file(cfg: Config, ann_file: str | Path) -> None:
    """Set the annotation file of every dataset of a config, wrapped ones included.

    Args:
        cfg: Modified in place.
        ann_file: Path relative to the data root of each dataset or, if no such file exists, to the current folder.

    Raises:
        ConfigError: If the config has no dataset, or one that reads no data root.
    """
    for dataset in _file_datasets(cfg, f"--ann-file {ann_file}"):
        dataset["ann_file"] = find_ann_file(ann_file, dataset.get("data_root"))


def set_split_file(cfg: Config, split_file: str | Path) -> None:
    """Let every dataset of a config read its part of a split file: `train`, `val` or `test`, after its loader.

    Args:
        cfg: Modified in place. The keys `split` and `signers` of `filter_cfg`, which the file replaces, are removed.
        split_file: Path relative to the data root of each dataset or, if no such file exists, to the current folder.

    Raises:
        ConfigError: If the config has no dataset, or one that reads no data root.
    """
    option = f"--split-file {split_file}"
    for name in LOADERS:
        loader = cfg.get(name)
        for dataset in dataset_configs(loader.get("dataset")) if loader else ():
            others = {k: v for k, v in (dataset.get("filter_cfg") or {}).items() if k not in ("split", "signers")}
            part = name.removesuffix("_dataloader")
            dataset["filter_cfg"] = {**others, "split_file": str(split_file), "part": part}
    _file_datasets(cfg, option)
    if "split_file" in cfg:
        cfg.split_file = str(split_file)


def find_ann_file(ann_file: str | Path, data_root: str | Path | None) -> str:
    """Return the `ann_file` argument for a dataset of this data root; see `set_ann_file`."""
    inside = Path(data_root or "") / ann_file
    if not inside.is_file() and Path(ann_file).is_file():
        return str(Path(ann_file).absolute())
    return str(ann_file)


def _file_datasets(cfg: Config, option: str) -> list[MutableMapping]:
    found = [(name, node) for name in LOADERS if cfg.get(name) for node in dataset_configs(cfg[name].get("dataset"))]
    if not found:
        raise ConfigError(f"{option}: the config has no dataset in {', '.join(LOADERS)}")
    for name, node in found:
        for key in _FILE_ARGUMENTS.intersection(node):
            path = f"{name}.dataset.{key}" if node is cfg[name]["dataset"] else f"{name}.dataset...{key}"
            raise ConfigError(
                f"{option}: a dataset of the {name} reads the files that its '{key}' names, {node[key]!r}; "
                f"give --cfg-options {path}=... instead"
            )
    return [node for _, node in found]


def shipped_configs() -> Path:
    """Return the folder of the package `karsl.configs`: `configs` of a clone, or of an installation.

    Raises:
        DatasetNotFoundError: If neither exists.
    """
    package = Path(str(resources.files("karsl")))
    for folder in (package, package.parent):  # next to an installed package may be the configs of another project
        if (folder / _SHIPPED_FILE).is_file():
            return folder / "configs"
    raise DatasetNotFoundError("the configs of karsl are not installed; reinstall karsl, or work in a clone of it")


def _is_inherited(work_dir: str | Path) -> bool:
    """Return True for the work dir of a shipped config; the one of `configs/demo.py` stays."""
    work_dir = Path(work_dir)
    return work_dir.parent == _WORK_DIRS and (shipped_configs() / f"{work_dir.name}.py").is_file()


def find_config(path: Path) -> Path:
    """Return the path itself or, if `configs/...` does not exist, the shipped config of that name."""
    if path.exists() or path.parts[:1] != ("configs",):
        return path
    shipped = shipped_configs().joinpath(*path.parts[1:])
    return shipped if shipped.is_file() else path


@contextmanager
def patch_mmengine() -> Iterator[None]:
    """Change three functions of MMEngine while a config is read.

    - `from karsl.configs.NAME import *` in `read_base()` finds shipped configs. MMEngine up to 0.10.7, the latest release,
      locates packages with pkg_resources, which setuptools 82 removed, and its fork looks inside the package. A version of
      MMEngine that uses importlib, and an installed karsl, make this unnecessary.
    - YAML is data: MMEngine's loader would run a function that a tag such as `!!python/object/apply` names, and go through
      lists that aliases multiply without end.
    - A config that inherits from itself is an error; MMEngine would read it again and again.
    """
    changes: tuple[tuple[Any, str, Any], ...] = (
        (mmengine_config, "get_installed_path", _installed_path),
        (yaml_handler, "Loader", PlainLoader),
        (Config, "_file2dict", staticmethod(_without_cycles(Config._file2dict))),
    )
    originals = [vars(module)[name] for module, name, _ in changes]
    for module, name, value in changes:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), original in zip(changes, originals, strict=True):
            setattr(module, name, original)


def _without_cycles(read: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that reads a config and those in its `_base_`, with an error if one of them is itself."""
    reading: list[str] = []

    def read_once(filename: str, *args: Any, **kwargs: Any) -> Any:
        path = str(Path(filename).resolve())
        if path in reading:
            raise ConfigError(f"{filename} inherits from itself; correct its '_base_'")
        reading.append(path)
        try:
            return read(filename, *args, **kwargs)
        finally:
            reading.pop()

    return read_once


def _installed_path(package: str) -> str:
    """Return the folder that contains `configs` of a package."""
    if package == "karsl":
        return str(shipped_configs().parent)
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ConfigError(f"read_base(): no package {package!r}; is it installed?")
    return str(Path(spec.origin).parent)
