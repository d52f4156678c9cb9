"""The configs that karsl ships, wherever they lie, and `karsl.configs` as their name in `read_base()`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import config as mmengine_config

from karsl.errors import ConfigError, DatasetNotFoundError

_ONE = Path("configs", "_base_", "default_runtime.py")


def shipped_configs() -> Path:
    """The folder `configs` of a clone, or what an installation put into `share/karsl`.

    Raises:
        DatasetNotFoundError: Neither is there.
    """
    clone = Path(__file__).parents[3]
    if (clone / _ONE).is_file():
        return clone / "configs"
    try:
        installed = metadata.files("karsl") or []
    except metadata.PackageNotFoundError:
        installed = []
    for file in installed:
        if file.parts[-3:] == _ONE.parts:
            return Path(str(file.locate())).resolve().parents[1]
    raise DatasetNotFoundError("karsl's configs are not installed; install karsl anew, or work in a clone of it")


def find_config(path: Path) -> Path:
    """The path itself, or, where nothing lies at `configs/...`, the shipped config of that name."""
    if path.exists() or path.parts[:1] != ("configs",):
        return path
    shipped = shipped_configs().joinpath(*path.parts[1:])
    return shipped if shipped.is_file() else path


@contextmanager
def naming_shipped() -> Iterator[None]:
    """While a config is read, let `from karsl.configs.NAME import *` in its `read_base()` find shipped configs.

    MMEngine 0.10.7 asks pkg_resources where a package lies, which setuptools 82 removed; it and its fork look inside the
    package. So the question is answered here.
    """
    theirs = mmengine_config.get_installed_path
    mmengine_config.get_installed_path = _place_of
    try:
        yield
    finally:
        mmengine_config.get_installed_path = theirs


def _place_of(package: str) -> str:
    """The folder that `configs` of a package lies in."""
    if package == "karsl":
        return str(shipped_configs().parent)
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ConfigError(f"read_base(): no package {package!r}; is it installed?")
    return str(Path(spec.origin).parent)
