"""A new file in a package that registers classes is found without any other edit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import karsl

NEW_FORMAT = """
from karsl.formats.base import register_format

@register_format("new", description="a test", cannot_store="nothing")
def open_new(path, **_): ...
"""
NEW_CLASS = """
from karsl.registry import {registry}
from karsl.{module} import {base}

@{registry}.register_module()
class {name}({base}): ...
"""
# New module, its class, the registry and the base class; each base is in another module of the same package.
NEW_CLASSES = [
    ("datasets/transforms/new", "NewTransform", "TRANSFORMS", "datasets.transforms.augment", "FrameDropout"),
    ("datasets/new", "NewCorpus", "DATASETS", "datasets.karsl", "KArSLDataset"),
    ("datasets/combine/new", "NewWrapper", "DATASETS", "datasets.combine.select", "ShuffleDataset"),
    ("evaluation/new", "NewMetric", "METRICS", "evaluation.metrics", "AccuracyMetric"),
    ("models/new", "NewHead", "MODELS", "models.head", "ClassifierHead"),
    ("models/backbones/new", "NewBackbone", "MODELS", "models.backbones.st_transformer", "STTransformer"),
]
# Registries import the packages at the first look-up, as for a type in a config.
SCRIPT = """
import json, sys
import karsl.formats
from karsl import registry
found = {name: getattr(registry, of).get(name) is not None for name, of in json.loads(sys.argv[1])}
print(json.dumps(found | {"format": list(karsl.formats.FORMATS)[-1], "at": karsl.__path__[0]}))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict:
    """Return what the registries of a copy of the package with new modules contain."""
    folder = tmp_path_factory.mktemp("copy")
    root = shutil.copytree(Path(karsl.__file__).parent, folder / "karsl", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "formats" / "new.py").write_text(NEW_FORMAT)
    (root / "formats" / "karsl" / "new.py").write_text(NEW_FORMAT.replace('"new"', '"new-karsl"'))
    for module, name, registry, base_module, base in NEW_CLASSES:
        code = NEW_CLASS.format(name=name, registry=registry, module=base_module, base=base)
        (root / f"{module}.py").write_text(code)
    names = json.dumps([(name, registry) for _, name, registry, *_ in NEW_CLASSES])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, names],
        capture_output=True, text=True, check=False, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["at"] == str(root)
    return result


@pytest.mark.parametrize("name", [name for _, name, *_ in NEW_CLASSES])
def test_a_new_file_in_the_package_registers_its_class(found, name):
    assert found[name]


def test_a_new_file_in_the_package_adds_a_format(found):
    assert found["format"] == "new-karsl"
