"""`karsl extract`: one sentence for each wrong command, and a real clip from its video to a dataset."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from karsl.cli.main import main
from karsl.extract.networks import networks_folder
from karsl.skeletons import get_skeleton

FOLDER = networks_folder()  # before the fixture of the tests moves the cache


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "0 paths given, expected SOURCE and OUT"),
        (["a", "b", "c"], "3 paths given, expected SOURCE and OUT"),
        (["a", "b", "--fetch-models"], "--fetch-models takes no SOURCE and OUT"),
        (["a", "b", "--workers", "-1"], "--workers -1; expected 0 or more"),
        (["a", "b"], "run 'karsl extract --fetch-models' once"),
        (["a", "b", "--extractor", "holistik"], "no extractor 'holistik'; did you mean 'holistic'?"),
        (["a", "b", "--extractor", "wholebody"], "pass an ONNX network of 133 keypoints with --models FILE"),
        (["a", "b", "--extractor", "wholebody", "--pose", "lite"], "--pose is for the extractor holistic"),
        (["a", "b", "--device", "gpu"], "device 'gpu' cannot be used by this torch"),
        (["a", "b", "--engine", "litert", "--device", "cuda"], "engine 'litert' runs on the CPU, not on 'cuda'"),
        (["a", "b", "--skeleton", "karsl_185"], "no skeleton 'karsl_185'"),
        (["a", "b", "--models", "absent.whl"], "no file or folder 'absent.whl' with networks"),
    ],
)
def test_a_wrong_command_is_one_sentence(words, text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["extract", *words]) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_command_imports_neither_torch_nor_mmengine():
    code = "import sys, karsl.extract; print(sorted({'torch', 'mmengine', 'PIL', 'av', 'numba'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the networks of MediaPipe are absent: karsl extract --fetch-models")
def test_a_real_clip_is_extracted_and_browsed_over_its_video(shared_data, tmp_path, capsys):
    video = shared_data("autsl_dummy") / "signer0_sample1000_color.mp4"
    (tmp_path / "list.csv").write_text(f"path,class,clip_id\n{video},hello,first\n")
    out = tmp_path / "out"
    assert main(["extract", str(tmp_path / "list.csv"), str(out), "--models", str(FOLDER), "--workers", "0"]) == 0
    assert "1 clip, 43 frames in" in capsys.readouterr().out
    clip, skeleton = np.load(out / "clips" / "first.npy"), get_skeleton("karsl_184")
    assert clip.shape == (43, 184, 4)
    present = {group: (clip[:, part, 3] > 0).any(1).sum() for group, part in skeleton.groups.items()}
    left = present.pop("lh")
    assert present == {"pose": 43, "face": 43, "rh": 43}
    assert 35 <= left <= 37  # another processor may decide differently on one blurred frame
    (record,) = json.loads((out / "annotations.json").read_text())["data_list"]
    assert (record["fps"], record["img_shape"], record["left_hand"]) == (30.0, [512, 512], round(left / 43, 4))
    assert main(["browse", str(out), "--video", "--not-show", "--output-dir", str(tmp_path / "sheets")]) == 0
    assert (tmp_path / "sheets" / "first.png").exists()
