"""Losses are reported, counted, and raised if strict; output is complete or absent."""

from __future__ import annotations

import errno
from dataclasses import replace

import numpy as np
import pytest

from karsl.errors import ConfigError, CorruptRecordError, DataErrors, SkeletonError
from karsl.formats import FORMATS, convert, open_clips
from karsl.io.sources import FunctionSource
from karsl.skeletons import Skeleton, get_skeleton
from tests.formats.random_clips import WRITTEN, MemoryReader, make_source, require

TWO = Skeleton("two", (("pose", ("nose", "left_wrist")),))


def source_of(*clips, skeleton=TWO) -> FunctionSource:
    """Return a source of clips named 0, 1, ..."""
    clips_by_id = {str(i): np.array(clip, np.float32) for i, clip in enumerate(clips)}
    records = [{"clip_id": i, "label": 0, "num_frames": len(clip)} for i, clip in clips_by_id.items()]
    return FunctionSource({"dataset_name": "small", "classes": ("hello",)}, skeleton, records, MemoryReader(clips_by_id))


FLAT = [[[0.5, 0.25, 0, 1], [0, 0, 0, 0]]]
DEEP = [[[0.5, 0.25, 3, 1], [0, 0, 0, 0]]]
DIM = [[[0.5, 0.25, 0, 0.75], [0, 0, 0, 0]]]
AT_ORIGIN = [[[0, 0, 0, 1], [0.5, 0.5, 0, 1]]]


@pytest.mark.parametrize(
    ("format", "clips", "kinds"),
    [
        ("spoter", [FLAT], []),
        ("spoter", [FLAT, DEEP, DEEP], ["z: depth is not 0, and this format stores x and y only (2 of 3 clips)"]),
        (
            "spoter",
            [DIM],
            ["score: scores other than 1 are not stored; detected points are read back with score 1 (1 of 1 clip)"],
        ),
        ("pyskl2d", [DEEP, DIM], ["z: depth is not 0, and this format stores x and y only (1 of 2 clips)"]),
        ("annotation", [DEEP, DIM], []),
        (
            "annotation",
            [AT_ORIGIN],
            ["mask: points exactly at the origin look like missing ones and are read back as missing (1 of 1 clip)"],
        ),
        ("pyskl", [AT_ORIGIN], []),
    ],
)
def test_each_kind_of_loss_is_one_line_with_the_number_of_clips(format, clips, kinds, tmp_path):
    assert list(convert(source_of(*clips), tmp_path / "out", format).losses) == kinds


def test_points_that_a_format_lacks_are_a_loss_only_if_present(tmp_path):
    own = Skeleton("own", (("pose", ("nose",)), ("tail", ("tail_0", "tail_1"))))
    bare = [[[0.5, 0.5, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]]
    tailed = [[[0.5, 0.5, 0, 1], [0.25, 0, 0, 1], [0, 0, 0, 0]]]
    done = convert(source_of(bare, tailed, skeleton=own), tmp_path / "out.csv", "spoter")
    assert done.losses == (
        "points: 2 of tail, e.g. 'tail_0', are not in the format's skeleton and are left out (1 of 2 clips)",
    )
    assert done.notes == ("53 of the 54 points of 'spoter_54' are not in the source and are missing",)


def test_points_are_mapped_to_another_skeleton_by_name(tmp_path):
    other = Skeleton("other", (("pose", ("left_wrist", "neck", "nose")),))
    clip = [[[1, 2, 3, 1], [4, 5, 6, 1]], [[0, 0, 0, 0], [7, 8, 9, 1]]]
    done = convert(source_of(clip), tmp_path / "out", "pyskl", skeleton=other)
    found = open_clips(done.path, format="pyskl", trusted=True)
    assert found.skeleton.names == other.names
    assert found.read(found.records[0])[..., :3].tolist() == [
        [[4, 5, 6], [0, 0, 0], [1, 2, 3]],
        [[7, 8, 9], [0, 0, 0], [0, 0, 0]],
    ]


@pytest.mark.parametrize("format", ["spoter", "annotation"])
def test_strict_raises_at_the_first_loss_and_writes_nothing(format, tmp_path):
    with pytest.raises(ConfigError, match=f"{format} cannot store clip '1' .* omit --strict to accept the loss"):
        convert(source_of(FLAT, AT_ORIGIN), tmp_path / "out", format, strict=True)
    assert list(tmp_path.iterdir()) == []
    assert convert(source_of(FLAT), tmp_path / "out", format, strict=True).losses == ()


def test_a_value_beyond_float16_is_rejected(tmp_path):
    far = [[[3e5, 0.25, 0, 1], [0, 0, 0, 0]]]
    with pytest.raises(ConfigError, match="clip '0' holds 300000, float16 ends at 65504; take dtype='float32'"):
        convert(source_of(far), tmp_path / "out", "parquet", dtype="float16")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", ["annotation", "pyskl", "tar"])
def test_a_tiny_score_is_not_rounded_to_missing(format, tmp_path):
    faint = [[[0.5, 0.25, 0, 1e-9], [0, 0, 0, 0]]]
    path = convert(source_of(faint), tmp_path / "out", format, dtype="float16").path
    again = open_clips(path, format=format, trusted=True)
    assert (again.read(again.records[0])[..., 3] > 0).tolist() == [[True, False]]


@pytest.mark.parametrize(("format", "x"), [("tar", 2**-14), ("annotation", 2**-14), ("pyskl", 0)])
def test_a_point_that_float16_would_round_to_the_origin_stays_present(format, x, tmp_path):
    near = [[[1e-9, 0, 0, 1], [0.5, 0, 0, 1]]]
    done = convert(source_of(near), tmp_path / "out", format, dtype="float16")
    assert [line.split(":")[0] for line in done.losses] == ["precision"]
    again = open_clips(done.path, format=format, trusted=True)
    assert again.read(again.records[0]).tolist() == [[[x, 0, 0, 1], [0.5, 0, 0, 1]]]


@pytest.mark.parametrize("format", ["annotation", "tar"])
def test_a_point_that_looks_like_missing_is_written_as_missing(format, tmp_path):
    again = open_clips(convert(source_of(AT_ORIGIN), tmp_path / "out", format).path)
    assert again.read(again.records[0]).tolist() == [[[0, 0, 0, 0], [0.5, 0.5, 0, 1]]]


class FailingReader(MemoryReader):
    def __call__(self, record):
        if record["label"]:
            raise CorruptRecordError(f"clip {record['clip_id']!r} is damaged")
        return super().__call__(record)


@pytest.mark.parametrize("format", ["annotation", "pyskl", "spoter", "kaggle"])
def test_all_bad_clips_are_reported_and_nothing_is_written(format, source, tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    broken = replace(source, reader=FailingReader(source.reader.clips))
    with pytest.raises(DataErrors) as caught:
        convert(broken, tmp_path / "out", format)
    assert caught.value.problems == ("clip '02-train/clip 1' is damaged", "clip '02-train/clip 3' is damaged")
    assert list(tmp_path.iterdir()) == []


def test_non_finite_values_and_wrong_lengths_are_rejected(tmp_path):
    source = source_of(FLAT, [[[np.nan, 0, 0, 1], [0, 0, 0, 0]]])
    source.records[0]["num_frames"] = 3
    with pytest.raises(DataErrors) as caught:
        convert(source, tmp_path / "out", "annotation")
    first, second = caught.value.problems
    assert "clip '0' has 1 frame, its record 3" in first
    assert "clip '1' has 1 values that are NaN or infinite, first in frame 0, keypoint 0" in second


def test_existing_output_is_not_overwritten(tmp_path, source):
    (tmp_path / "out").mkdir()
    assert convert(source, tmp_path / "out", "annotation").num_clips == 4  # an empty folder is accepted
    with pytest.raises(ConfigError, match="exists; choose another name"):
        convert(source, tmp_path / "out", "annotation")


def test_disjoint_skeletons_and_read_only_formats_are_rejected(tmp_path, source):
    with pytest.raises(SkeletonError, match="share no keypoint"):
        convert(source, tmp_path / "out", "annotation", skeleton=Skeleton("tail", (("tail", ("tail_0",)),)))
    with pytest.raises(ConfigError, match="format 'msl150' is read-only; formats that can be written: karsl, annotation"):
        convert(source, tmp_path / "out", "msl150")
    with pytest.raises(ConfigError, match="always has skeleton 'spoter_54'"):
        convert(source, tmp_path / "out", "spoter", skeleton="karsl_184")
    with pytest.raises(
        ConfigError, match="--dtype float16 for format 'spoter'; expected float32, or float16 for karsl, annotation"
    ):
        convert(source, tmp_path / "out", "spoter", dtype="float16")
    with pytest.raises(ConfigError, match="the source has no clips"):
        convert(replace(source, records=[]), tmp_path / "out", "annotation")


def test_a_corpus_without_signs_is_rejected_with_an_alternative(tmp_path):
    with pytest.raises(ConfigError, match=r"clip '0' has no \['sign', 'signer', 'split'\]; .* use --to annotation"):
        convert(source_of(FLAT), tmp_path / "out", "karsl")


def test_the_same_skeleton_under_another_name_loses_nothing(tmp_path):
    twin = Skeleton("twin", get_skeleton("spoter_54").parts, get_skeleton("spoter_54").bones)
    assert convert(make_source(twin, [(2, "none", 1)]), tmp_path / "out.csv", "spoter").notes == ()


def test_a_name_that_does_not_identify_the_format_gives_a_note(source, tmp_path):
    done = convert(source, tmp_path / "out", "pyskl")
    assert done.notes == ("the format cannot be detected from the name 'out'; read it with --from pyskl",)
    assert convert(source, tmp_path / "out.pkl", "pyskl2d").notes == ()


def test_repeated_ids_and_invalid_labels_are_reported_together(tmp_path):
    bad = source_of(FLAT, FLAT, FLAT, FLAT)
    bad.records[1]["clip_id"] = "0"
    bad.records[2]["label"] = 1
    del bad.records[3]["num_frames"]
    with pytest.raises(DataErrors) as caught:
        convert(bad, tmp_path / "out", "annotation")
    assert caught.value.problems == (
        "two clips are named '0'; rename one",
        "clip '2' has label 1, but the source has 1 class",
        "record 3 has no ['num_frames']; add it",
    )


class FullDisk(MemoryReader):
    def __call__(self, record):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_one_sentence_and_writes_nothing(source, tmp_path):
    with pytest.raises(ConfigError, match="disk full while writing .*out .*; free space, nothing was written"):
        convert(replace(source, reader=FullDisk({})), tmp_path / "out", "parquet")
    assert list(tmp_path.iterdir()) == []


def test_kaggle_reports_that_signs_with_equal_names_become_one(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    source = make_source("kaggle_543", [(2, "none", 1), (2, "none", 2)])
    twice = replace(source, metainfo={**source.metainfo, "classes": ("nephew", "nephew")})
    assert convert(twice, tmp_path / "out", "kaggle").losses[-1] == (
        "classes: several are named 'nephew' and become one sign (2 of 2 clips)"
    )


HOSTILE = "../../../../outside"


@pytest.mark.parametrize("format", WRITTEN)
def test_no_name_of_a_source_escapes_the_output_folder(tmp_path, format):
    require(format)
    source = make_source(FORMATS[format].skeleton or "karsl_184", clips=((3, "none", 1), (3, "none", 2)))
    if format == "karsl":
        reader = MemoryReader({HOSTILE: source.read(source.records[0])})
        source = replace(source, records=[{**source.records[0], "clip_id": HOSTILE}], reader=reader)
    else:
        names = [f"{HOSTILE}/{n}" for n in range(2)]
        reader = MemoryReader({name: source.read(r) for name, r in zip(names, source.records, strict=True)})
        records = [
            {**r, "clip_id": name, "signer": name, "split": name} for name, r in zip(names, source.records, strict=True)
        ]
        source = replace(source, records=records, metainfo={**source.metainfo, "classes": names}, reader=reader)
    deep = tmp_path / "a" / "b" / "c" / "d" / "e"
    deep.mkdir(parents=True)
    out = convert(source, deep / "out", format).path
    outside = [p for p in tmp_path.rglob("*") if p.is_file() and p != out and out not in p.parents]
    assert not outside
    assert not (tmp_path / "outside").exists()


def test_splits_with_equal_safe_names_get_separate_files(tmp_path):
    require("parquet")
    source = make_source()
    records = [{**r, "split": split} for r, split in zip(source.records, ("a b", "a/b", "a/b", "c"), strict=True)]
    out = convert(replace(source, records=records), tmp_path / "out", "parquet").path
    assert sorted(p.name for p in out.glob("*.parquet")) == [f"{n}-00000-of-00001.parquet" for n in ("a_b_0", "a_b_1", "c")]
    assert len(open_clips(out).records) == 4


def test_a_label_that_is_not_an_integer_is_reported(tmp_path):
    source = source_of(FLAT)
    for label in (1.0, "0", -1, 1):
        source.records[0]["label"] = label
        with pytest.raises(DataErrors, match=f"clip '0' has label {label!r}, but the source has 1 class"):
            convert(source, tmp_path / "out", "annotation")


@pytest.mark.parametrize("format", ["pose", "parquet", "annotation"])
def test_the_recipe_of_an_extraction_is_kept_both_ways(tmp_path, format):
    require(format)
    recipe = {"name": "holistic", "version": 3, "engine": "litert", "networks": {"pose.tflite": "0" * 64}}
    source = make_source()
    source = replace(source, metainfo={**source.metainfo, "extractor": recipe})
    there = open_clips(convert(source, tmp_path / "there", format).path)
    assert there.metainfo["extractor"] == recipe
    back = open_clips(convert(there, tmp_path / "back", "annotation").path)
    assert back.metainfo["extractor"] == recipe
    assert len(back.records) == len(source.records)
