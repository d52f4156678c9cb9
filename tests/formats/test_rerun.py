"""Recordings that Rerun's own library reads."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.cli.main import main
from karsl.errors import ConfigError
from karsl.formats import convert, open_clips
from karsl.skeletons import get_skeleton
from tests.formats.random_clips import make_source


def columns_of(path) -> dict[str, list]:
    """Return the data columns of every entity of a recording as lists, by `<entity> <component>`."""
    from rerun.chunk import RrdReader

    found: dict[str, list] = {}
    for chunk in RrdReader(str(path)).stream():
        batch = chunk.to_record_batch()
        for name in batch.schema.names:
            found.setdefault(f"{chunk.entity_path} {name}", []).extend(batch.column(name).to_pylist())
    return found


def test_a_recording_has_the_present_points_bones_and_metadata(tmp_path):
    pytest.importorskip("rerun", reason="rerun-sdk is not installed: recordings for Rerun are not tested")
    source = make_source("mp_75", [(5, "scattered", 1), (3, "all", 2)])
    source.records[0]["fps"] = 25.0
    done = convert(source, tmp_path / "out", "rrd")
    assert sorted(p.relative_to(done.path).as_posix() for p in done.path.rglob("*.rrd")) == [
        "see_you/clip_0.rrd",
        "thanks/clip_1.rrd",
    ]
    found, clip = columns_of(done.path / "see_you" / "clip_0.rrd"), source.read(source.records[0])
    present = clip[..., 3] > 0
    assert found["/clip frame"] == [0, 1, 2, 3, 4]
    assert [t.total_seconds() for t in found["/clip time"]] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])
    for n in range(5):
        assert found["/clip Points3D:keypoint_ids"][n] == np.flatnonzero(present[n]).tolist()
        np.testing.assert_array_equal(found["/clip Points3D:positions"][n], clip[n, present[n], :3])
    ((description,),) = found["/ AnnotationContext:context"][0]
    names = [point["label"] for point in description["class_description"]["keypoint_annotations"]]
    assert tuple(names) == get_skeleton("mp_75").names
    assert len(description["class_description"]["keypoint_connections"]) == len(get_skeleton("mp_75").bones)
    assert found["/about TextDocument:text"] == [["class: see you\nsigner: 01\nsplit: train\nframes: 5"]]
    missing = columns_of(done.path / "thanks" / "clip_1.rrd")
    assert missing["/clip Points3D:positions"] == [[], [], []]
    assert "/clip time" not in missing


def test_without_the_library_the_error_names_its_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "rerun", None)
    source = convert(make_source("hand_42", [(2, "none", 1)]), tmp_path / "clips", "annotation").path
    assert main(["convert", str(source), str(tmp_path / "out"), "--to", "rrd"]) == 2
    assert "rerun-sdk is not installed; install it with: pip install 'karsl[rerun]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_write_only_format_is_not_read(tmp_path):
    with pytest.raises(ConfigError, match="format 'rrd' is write-only; formats that can be read: pack, "):
        open_clips(tmp_path, format="rrd")
