"""The dataset card of a pack."""

from __future__ import annotations

import numpy as np
import yaml

from karsl.cli.main import main
from karsl.testing import make_corpus


def test_the_card_describes_the_pack_and_a_filled_in_one_is_kept(tmp_path, capsys):
    root = make_corpus(tmp_path / "c", signs=2, signers=["01"], train_clips=2, test_clips=1)
    packed = tmp_path / "packed"
    assert main(["pack", str(root), str(packed), "--workers", "0", "--card"]) == 0
    assert f"dataset card: {packed / 'README.md'}" in capsys.readouterr().out
    text = (packed / "README.md").read_text(encoding="utf-8")
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head)["size_categories"] == ["n<1K"]
    for line in ("- 2 classes", "- 1 signer: 01", "| train | 4 | 1 |", "| test | 2 | 1 |", "| `sign` | SignID |"):
        assert line in body.splitlines()
    assert "`karsl_184`, 184 points in this order: pose 6, face 136, rh 21, lh 21." in body
    assert "Fill in the license" in body
    assert main(["pack", str(packed), "--verify"]) == 0
    (packed / "README.md").write_text("filled in")
    more = make_corpus(tmp_path / "more", signs=2, signers=["02"], train_clips=1, test_clips=0)
    assert main(["pack", str(more), str(packed), "--append", "--workers", "0", "--card"]) == 0
    assert "README.md exists and is not changed" in capsys.readouterr().out
    assert (packed / "README.md").read_text() == "filled in"


def test_the_card_of_a_corpus_without_parts_says_so(tmp_path):
    for number in range(2):
        (tmp_path / "data" / "hello").mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "data" / "hello" / f"{number}.npy", np.full((2, 42, 3), number / 4 + 0.25, np.float32))
    words = ["pack", str(tmp_path / "data"), str(tmp_path / "packed"), "--layout", "hand_42", "--labels", "folder"]
    assert main([*words, "--workers", "0", "--card"]) == 0
    assert "The corpus ships no parts" in (tmp_path / "packed" / "README.md").read_text()
