"""The confusion matrix as a figure: what its text says, for any number of classes and models."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from karsl.errors import ConfigError
from karsl.visualization.confusion_figure import write_confusion_figure


def texts(path) -> list[str]:
    return re.findall(r">([^<>\n]+)</text>", path.read_text(encoding="utf-8"))


def test_cells_have_counts_and_axes_have_names(tmp_path):
    write_confusion_figure(tmp_path / "a.svg", [np.array([[7, 0], [3, 5]])], ["$cost$", "شكرا"])
    found = texts(tmp_path / "a.svg")
    assert [text for text in found if text in ("7", "0", "3", "5")] == ["7", "3", "5"]
    assert found.count("$cost$") == 2
    assert len([text for text in found if re.search(r"[\u0600-\u06ff\ufe70-\ufeff]", text)]) == 2
    assert {"predicted class", "true class"} <= set(found)


@pytest.mark.parametrize(("classes", "names", "counts"), [(25, 50, 25), (26, 52, 0), (101, 0, 0)])
def test_what_would_be_too_small_to_read_is_left_out(tmp_path, classes, names, counts):
    matrix = 7 * np.eye(classes, dtype=np.int64)
    write_confusion_figure(tmp_path / "a.svg", [matrix], [f"sign {label}" for label in range(classes)])
    found = texts(tmp_path / "a.svg")
    assert (sum(text.startswith("sign ") for text in found), found.count("7")) == (names, counts)


def test_two_models_are_two_panels_and_equal_input_gives_equal_bytes(tmp_path):
    matrices = [np.array([[2, 0], [1, 1]]), np.array([[2, 0], [0, 2]])]
    for name in ("a.pdf", "b.pdf", "a.svg", "b.svg", "a.png"):
        write_confusion_figure(tmp_path / name, matrices, ["x", "y"], ["joint", "fused"])
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert {"joint", "fused"} <= set(texts(tmp_path / "a.svg"))
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > 1.5 * image.height


def test_another_suffix_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match=r"a\.tiff' is not one of \.pdf, \.svg, \.png"):
        write_confusion_figure(tmp_path / "a.tiff", [np.eye(2, dtype=np.int64)], ["x", "y"])
