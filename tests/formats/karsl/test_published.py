"""KArSL's published tree with keypoints in place of videos."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.cli.main import main
from karsl.datasets import KArSLDataset
from karsl.errors import DataErrors
from karsl.formats import convert, detect_format, open_clips
from karsl.io.sources import FunctionSource
from karsl.skeletons import get_skeleton

NAME = "03_01_0071_(01_12_16_15_53_03)_c"


def save(path, frames=3, value=0.5):
    path.parent.mkdir(parents=True, exist_ok=True)
    clip = np.full((frames, 184, 4), value, np.float32)
    if path.suffix == ".npy":
        np.save(path, clip)
    else:
        np.savez(path, clip)


@pytest.mark.parametrize("folder", ["01/train/0071", "01/01/train/0071", "01/train/0071-0170/0071"])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_signer_split_and_sign_are_read_from_the_path(tmp_path, folder, suffix):
    save(tmp_path / folder / f"{NAME}{suffix}")
    save(tmp_path / folder.replace("train", "test").replace("0071", "0072") / f"b{suffix}", 4)
    assert detect_format(tmp_path).name == "karsl-tree"
    source = open_clips(tmp_path)
    keys = ("sign", "signer", "split", "label", "num_frames")
    found = [tuple(record[key] for key in keys) for record in sorted(source.records, key=lambda r: r["sign"])]
    assert found == [(71, "01", "train", 0, 3), (72, "01", "test", 1, 4)]
    assert source.records[0]["clip_id"].startswith("01-")
    assert any(f"01-train/0071/{NAME}" in record["clip_id"] for record in source.records)
    assert source.read(source.records[0]).shape[1:] == (184, 4)


def test_pose_files_in_the_tree_are_read(tmp_path):
    pytest.importorskip("pose_format")
    skeleton = get_skeleton("hand_42")
    records = [{"clip_id": "a", "label": 0, "num_frames": 2}]
    made = FunctionSource({"classes": ("x",)}, skeleton, records, lambda record: np.full((2, 42, 4), 0.5, np.float32))
    convert(made, tmp_path / "made", "pose")
    (file,) = (tmp_path / "made").rglob("*.pose")
    target = tmp_path / "tree" / "02" / "test" / "0190" / "c.pose"
    target.parent.mkdir(parents=True)
    file.rename(target)
    source = open_clips(tmp_path / "tree")
    assert source.records[0]["clip_id"] == "02-test/0190/c"
    assert {key: source.records[0][key] for key in ("sign", "signer", "split")} == {
        "sign": 190,
        "signer": "02",
        "split": "test",
    }
    np.testing.assert_allclose(source.read(source.records[0]), 0.5, rtol=1e-6)


def test_a_file_at_another_path_is_named(tmp_path):
    save(tmp_path / "01" / "train" / "0071" / "a.npy")
    save(tmp_path / "01" / "train" / "0999" / "b.npy")
    save(tmp_path / "extra" / "c.npy")
    with pytest.raises(DataErrors, match="2 problems") as caught:
        open_clips(tmp_path)
    assert "extra/c.npy: not at a path" in str(caught.value)
    assert len(open_clips(tmp_path, skip_bad=True).records) == 1


def test_a_pack_of_the_tree_is_read_by_the_dataset_of_karsl(tmp_path):
    for signer in ("01", "02"):
        for split in ("train", "test"):
            save(tmp_path / "tree" / signer / split / "0071" / "a.npy", value=int(signer) / 8 + (split == "test") / 16)
    (tmp_path / "tree" / "labels.csv").write_text("SignID,Sign-Arabic,Sign-English\n71,هيكل,skeleton\n")
    assert main(["pack", str(tmp_path / "tree"), str(tmp_path / "packed"), "--workers", "0"]) == 0
    cfg = dict(signers=("02",), split="train")
    dataset = KArSLDataset("annotations.json", data_root=str(tmp_path / "packed"), filter_cfg=cfg)
    assert [dataset.get_data_info(0)[key] for key in ("clip_id", "sign")] == ["02-train/0071/a", 71]
    assert dataset.metainfo["classes"] == ("skeleton",)
