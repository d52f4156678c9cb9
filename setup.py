"""The shipped configs are at the top level of a clone and become the package `karsl.configs`; all else is in setup.cfg."""

from pathlib import Path

from setuptools import find_packages, setup

CONFIGS = ["karsl." + ".".join(path.parts) for path in sorted({file.parent for file in Path("configs").rglob("*.py")})]

setup(packages=[*find_packages(include=["karsl*"]), *CONFIGS], package_dir={"karsl.configs": "configs"})
