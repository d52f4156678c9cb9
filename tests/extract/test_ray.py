"""Extraction on a Ray cluster gives the files of one process."""

from __future__ import annotations

import json

import pytest

from karsl.cli.main import main

pytest.importorskip("ray", reason="ray is not installed: karsl[ray]")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: karsl[onnx]")


def test_ray_extracts_the_same_files_and_reports_failures(make_frames, write_network, tmp_path, monkeypatch, capsys):
    from karsl.ray import disconnect

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for name in "abc":
        make_frames(tmp_path / "videos" / name, [(ord(name) % 8, 2, 255)] * 3)
    (tmp_path / "videos" / "d.mp4").write_bytes(b"no video")
    network = write_network(tmp_path / "a.onnx")
    options = ["--extractor", "wholebody", "--models", str(network), "--skeleton", "coco_wholebody_133"]
    command = ["extract", str(tmp_path / "videos")]
    try:
        assert main([*command, str(tmp_path / "there"), *options, "--ray", "--workers", "2"]) == 1
    finally:
        disconnect()
    assert "failed: d.mp4: not a readable video" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "here"), *options, "--workers", "0"]) == 1
    for name in ("clips/a.npy", "clips/b.npy", "clips/c.npy", "annotations.json"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    assert json.loads((tmp_path / "there" / "report.json").read_text())["clips"] == 3
