"""Every command of a recipe page runs on a tiny corpus in the real layout, in the order of the page.

Networks are replaced by an extractor that derives points from the brightness of a frame, and a command that trains stops
before its first iteration: the dataset, the split, the model and the loaders are made.
"""

from __future__ import annotations

import json
import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest
from mmengine.runner import Runner

from karsl.cli.main import main
from karsl.extract.base import EXTRACTORS
from karsl.skeletons import get_skeleton
from tests.docs.recipe_files import CORPORA

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ADDED = {"extract": ["--workers", "0"], "pack": ["--workers", "0"]}
EXPECTED = {  # signers, splits and classes that the records of the first result have
    "karsl": ({"01", "02", "03"}, {"train", "test"}, 2),
    "autsl": ({"0", "1", "2", "3"}, {"train", "val", "test"}, 2),
    "wlasl": ({str(n) for n in range(7)}, {"train", "val", "test"}, 2),
    "lsa64": ({"001", "009", "010"}, {None}, 2),
    "include": ({None}, {"train", "val", "test"}, 2),
    "asl-citizen": ({"P1", "P2", "P3"}, {"train", "val", "test"}, 2),
    "google-islr": ({str(26734 + n) for n in range(6)}, {None}, 2),
    "lsfb-isol": ({"S001", "S002", "S003"}, {"train", "test"}, 2),
    "msl150": ({None}, {None}, 2),
}


class Brightness:
    """Extractor without networks: all points of a frame are at its brightness, plus their number."""

    names = tuple(dict.fromkeys((*get_skeleton("mp_75").names, *get_skeleton("karsl_184").names)))
    batch_size = 4

    def __init__(self, models=None, device="cpu", wanted=()) -> None:
        self.recipe = {"name": "brightness"}

    def __call__(self, images: np.ndarray) -> np.ndarray:
        points = np.ones((len(images), len(self.names), 4), np.float32)
        points[..., :3] = images.mean((1, 2, 3))[:, None, None] / 512 + np.linspace(0, 0.4, len(self.names))[:, None]
        return points


def pages() -> list[str]:
    return sorted(path.stem.removeprefix("recipe-") for path in DOCS.glob("recipe-*.md"))


def test_every_page_has_a_corpus():
    assert pages() == sorted(CORPORA)


@pytest.mark.parametrize("name", pages())
def test_the_commands_of_a_page_run_on_a_corpus_in_the_real_layout(name, tmp_path, monkeypatch, capsys):
    CORPORA[name](tmp_path)
    (tmp_path / "configs").symlink_to(DOCS.parent / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(EXTRACTORS, "holistic", Brightness)
    trained: list[Runner] = []
    monkeypatch.setattr(Runner, "train", lambda runner: trained.append(runner.build_train_loop(runner._train_loop)))
    for language, text in BLOCK.findall((DOCS / f"recipe-{name}.md").read_text(encoding="utf-8")):
        if language == "python":
            Path(re.match(r"# (\w+\.py)\n", text)[1]).write_text(text, encoding="utf-8")
        for command in text.splitlines() if language == "sh" else ():
            program, *words = shlex.split(command)
            if program == "python":
                runpy.run_path(words[0])
                continue
            assert program == "karsl"
            assert main([*words, *ADDED.get(words[0], [])]) == 0, f"{command}\n{capsys.readouterr()}"
    assert len(trained) == 1
    first = next(path for path in (tmp_path / "data").iterdir() if path.is_dir())
    content = json.loads((first / "annotations.json").read_text(encoding="utf-8"))
    records = content["data_list"]
    signers, splits, classes = EXPECTED[name]
    assert ({r.get("signer") for r in records}, {r.get("split") for r in records}) == (signers, splits)
    assert len(content["metainfo"]["classes"]) == classes
    assert {r["label"] for r in records} == set(range(classes))
