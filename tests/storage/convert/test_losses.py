"""What a form cannot hold is said, counted and refused when strict; what is written is whole or not there."""

from __future__ import annotations

import errno
from dataclasses import replace

import numpy as np
import pytest

from karsl.errors import ConfigError, CorruptRecordError, DataErrors, SkeletonError
from karsl.skeletons import Skeleton, get_skeleton
from karsl.storage.convert import FORMS, Clips, convert_clips, open_source
from tests.storage.convert.drawn_clips import WRITTEN, Held, make_source, needs

TWO = Skeleton("two", (("pose", ("nose", "left_wrist")),))


def source_of(*clips, skeleton=TWO) -> Clips:
    """Clips of small numbers, called 0, 1, ..."""
    held = {str(i): np.array(clip, np.float32) for i, clip in enumerate(clips)}
    records = [{"clip_id": i, "label": 0, "num_frames": len(clip)} for i, clip in held.items()]
    return Clips({"dataset_name": "small", "classes": ("hello",)}, skeleton, records, Held(held))


FLAT = [[[0.5, 0.25, 0, 1], [0, 0, 0, 0]]]
DEEP = [[[0.5, 0.25, 3, 1], [0, 0, 0, 0]]]
DIM = [[[0.5, 0.25, 0, 0.75], [0, 0, 0, 0]]]
AT_ORIGIN = [[[0, 0, 0, 1], [0.5, 0.5, 0, 1]]]


@pytest.mark.parametrize(
    ("form", "clips", "kinds"),
    [
        ("spoter", [FLAT], []),
        ("spoter", [FLAT, DEEP, DEEP], ["z: depth is not 0, and this form holds x and y only (2 of 3 clips)"]),
        (
            "spoter",
            [DIM],
            ["score: scores other than 1 are not kept; points that are there come back with score 1 (1 of 1 clips)"],
        ),
        ("pyskl2d", [DEEP, DIM], ["z: depth is not 0, and this form holds x and y only (1 of 2 clips)"]),
        ("annotation", [DEEP, DIM], []),
        (
            "annotation",
            [AT_ORIGIN],
            ["mask: points exactly at the origin cannot be told from missing ones and come back missing (1 of 1 clips)"],
        ),
        ("pyskl", [AT_ORIGIN], []),
    ],
)
def test_each_kind_of_loss_is_one_line_with_the_number_of_clips(form, clips, kinds, tmp_path):
    assert list(convert_clips(source_of(*clips), tmp_path / "out", form).losses) == kinds


def test_points_that_a_form_lacks_are_a_loss_only_where_they_are_there(tmp_path):
    own = Skeleton("own", (("pose", ("nose",)), ("tail", ("tail_0", "tail_1"))))
    bare = [[[0.5, 0.5, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]]
    tailed = [[[0.5, 0.5, 0, 1], [0.25, 0, 0, 1], [0, 0, 0, 0]]]
    done = convert_clips(source_of(bare, tailed, skeleton=own), tmp_path / "out.csv", "spoter")
    assert done.losses == (
        "points: 2 of tail, e.g. 'tail_0', are not among the form's points and are left out (1 of 2 clips)",
    )
    assert done.notes == ("53 of the 54 points of 'spoter_54' are not in the source: missing",)


def test_points_go_to_another_skeleton_by_their_names(tmp_path):
    other = Skeleton("other", (("pose", ("left_wrist", "neck", "nose")),))
    clip = [[[1, 2, 3, 1], [4, 5, 6, 1]], [[0, 0, 0, 0], [7, 8, 9, 1]]]
    done = convert_clips(source_of(clip), tmp_path / "out", "pyskl", skeleton=other)
    found = open_source(done.path, form="pyskl", trusted=True)
    assert found.skeleton.names == other.names
    assert found.read(found.records[0])[..., :3].tolist() == [
        [[4, 5, 6], [0, 0, 0], [1, 2, 3]],
        [[7, 8, 9], [0, 0, 0], [0, 0, 0]],
    ]


@pytest.mark.parametrize("form", ["spoter", "annotation"])
def test_strict_refuses_the_first_loss_and_leaves_nothing(form, tmp_path):
    with pytest.raises(ConfigError, match=f"{form} cannot hold clip '1' as it is .* leave out --strict to lose that"):
        convert_clips(source_of(FLAT, AT_ORIGIN), tmp_path / "out", form, strict=True)
    assert list(tmp_path.iterdir()) == []
    assert convert_clips(source_of(FLAT), tmp_path / "out", form, strict=True).losses == ()


def test_a_value_beyond_float16_is_refused_rather_than_made_infinite(tmp_path):
    far = [[[3e5, 0.25, 0, 1], [0, 0, 0, 0]]]
    with pytest.raises(ConfigError, match="clip '0' holds 300000, float16 ends at 65504; take dtype='float32'"):
        convert_clips(source_of(far), tmp_path / "out", "parquet", dtype="float16")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["annotation", "pyskl", "tar"])
def test_a_tiny_score_is_not_rounded_to_missing(form, tmp_path):
    faint = [[[0.5, 0.25, 0, 1e-9], [0, 0, 0, 0]]]
    path = convert_clips(source_of(faint), tmp_path / "out", form, dtype="float16").path
    again = open_source(path, form=form, trusted=True)
    assert (again.read(again.records[0])[..., 3] > 0).tolist() == [[True, False]]


@pytest.mark.parametrize(("form", "x"), [("tar", 2**-14), ("annotation", 2**-14), ("pyskl", 0)])
def test_a_point_that_float16_would_round_into_the_origin_stays_there(form, x, tmp_path):
    near = [[[1e-9, 0, 0, 1], [0.5, 0, 0, 1]]]
    done = convert_clips(source_of(near), tmp_path / "out", form, dtype="float16")
    assert [line.split(":")[0] for line in done.losses] == ["precision"]
    again = open_source(done.path, form=form, trusted=True)
    assert again.read(again.records[0]).tolist() == [[[x, 0, 0, 1], [0.5, 0, 0, 1]]]


@pytest.mark.parametrize("form", ["annotation", "tar"])
def test_a_point_that_cannot_be_told_from_missing_is_written_as_missing(form, tmp_path):
    again = open_source(convert_clips(source_of(AT_ORIGIN), tmp_path / "out", form).path)
    assert again.read(again.records[0]).tolist() == [[[0, 0, 0, 0], [0.5, 0.5, 0, 1]]]


class Bad(Held):
    def __call__(self, record):
        if record["label"]:
            raise CorruptRecordError(f"clip {record['clip_id']!r} is damaged")
        return super().__call__(record)


@pytest.mark.parametrize("form", ["annotation", "pyskl", "spoter", "kaggle"])
def test_every_bad_clip_is_named_at_once_and_nothing_is_left(form, source, tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    broken = replace(source, reader=Bad(source.reader.clips))
    with pytest.raises(DataErrors) as caught:
        convert_clips(broken, tmp_path / "out", form)
    assert caught.value.problems == ("clip '02-train/clip 1' is damaged", "clip '02-train/clip 3' is damaged")
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_are_none_and_lengths_that_lie_are_refused(tmp_path):
    lies = source_of(FLAT, [[[np.nan, 0, 0, 1], [0, 0, 0, 0]]])
    lies.records[0]["num_frames"] = 3
    with pytest.raises(DataErrors) as caught:
        convert_clips(lies, tmp_path / "out", "annotation")
    first, second = caught.value.problems
    assert "clip '0' has 1 frames, its index says 3" in first
    assert "clip '1' has 1 values that are NaN or infinite, first in frame 0, keypoint 0" in second


def test_what_lies_there_is_not_overwritten(tmp_path, source):
    (tmp_path / "out").mkdir()
    assert convert_clips(source, tmp_path / "out", "annotation").num_clips == 4  # an empty folder is as good as none
    with pytest.raises(ConfigError, match="exists; give another name, or remove it first"):
        convert_clips(source, tmp_path / "out", "annotation")


def test_skeletons_without_a_common_point_and_forms_that_cannot_be_written_are_refused(tmp_path, source):
    with pytest.raises(SkeletonError, match="share no keypoint"):
        convert_clips(source, tmp_path / "out", "annotation", skeleton=Skeleton("tail", (("tail", ("tail_0",)),)))
    with pytest.raises(ConfigError, match="form 'msl150' is read, not written; forms that are written: annotation, karsl"):
        convert_clips(source, tmp_path / "out", "msl150")
    with pytest.raises(ConfigError, match="always has the points of 'spoter_54'"):
        convert_clips(source, tmp_path / "out", "spoter", skeleton="karsl_184")
    with pytest.raises(ConfigError, match="--dtype float16 for form 'spoter'; expected float32, or float16 for annotation"):
        convert_clips(source, tmp_path / "out", "spoter", dtype="float16")
    with pytest.raises(ConfigError, match="the source has no clips"):
        convert_clips(replace(source, records=[]), tmp_path / "out", "annotation")


def test_a_corpus_without_signs_is_told_to_be_written_otherwise(tmp_path):
    with pytest.raises(ConfigError, match=r"clip '0' has no \['sign', 'signer', 'split'\]; .* use --to annotation"):
        convert_clips(source_of(FLAT), tmp_path / "out", "karsl")


def test_the_same_points_under_another_name_are_the_same_points(tmp_path):
    twin = Skeleton("twin", get_skeleton("spoter_54").parts, get_skeleton("spoter_54").bones)
    assert convert_clips(make_source(twin, [(2, "none", 1)]), tmp_path / "out.csv", "spoter").notes == ()


def test_a_name_that_does_not_tell_the_form_is_answered_with_the_option(source, tmp_path):
    done = convert_clips(source, tmp_path / "out", "pyskl")
    assert done.notes == ("the name 'out' does not tell the form; to read it, say --from pyskl",)
    assert convert_clips(source, tmp_path / "out.pkl", "pyskl2d").notes == ()


def test_records_that_cannot_be_told_apart_or_have_no_class_are_refused_together(tmp_path):
    bad = source_of(FLAT, FLAT, FLAT, FLAT)
    bad.records[1]["clip_id"] = "0"
    bad.records[2]["label"] = 1
    del bad.records[3]["num_frames"]
    with pytest.raises(DataErrors) as caught:
        convert_clips(bad, tmp_path / "out", "annotation")
    assert caught.value.problems == (
        "two clips are called '0'; rename one",
        "clip '2' has label 1, the source names 1 classes",
        "record 3 has no ['num_frames']; add it",
    )


class FullDisk(Held):
    def __call__(self, record):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_one_sentence_and_leaves_nothing(source, tmp_path):
    with pytest.raises(ConfigError, match="no room left for .*out .*; nothing was written, make some"):
        convert_clips(replace(source, reader=FullDisk({})), tmp_path / "out", "parquet")
    assert list(tmp_path.iterdir()) == []


def test_kaggle_says_that_signs_of_one_name_become_one(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    source = make_source("kaggle_543", [(2, "none", 1), (2, "none", 2)])
    twice = replace(source, metainfo={**source.metainfo, "classes": ("nephew", "nephew")})
    assert convert_clips(twice, tmp_path / "out", "kaggle").losses[-1] == (
        "classes: several are called 'nephew' and become one sign (2 of 2 clips)"
    )


HOSTILE = "../../../../outside"


@pytest.mark.parametrize("form", WRITTEN)
def test_no_name_from_a_source_leads_out_of_the_folder_that_is_written(tmp_path, form):
    needs(form)
    source = make_source(FORMS[form].skeleton or "karsl_184", clips=((3, "none", 1), (3, "none", 2)))
    if form == "karsl":
        held = Held({HOSTILE: source.read(source.records[0])})
        source = replace(source, records=[{**source.records[0], "clip_id": HOSTILE}], reader=held)
    else:
        names = [f"{HOSTILE}/{n}" for n in range(2)]
        held = Held({name: source.read(r) for name, r in zip(names, source.records, strict=True)})
        records = [
            {**r, "clip_id": name, "signer": name, "split": name} for name, r in zip(names, source.records, strict=True)
        ]
        source = replace(source, records=records, metainfo={**source.metainfo, "classes": names}, reader=held)
    deep = tmp_path / "a" / "b" / "c" / "d" / "e"
    deep.mkdir(parents=True)
    out = convert_clips(source, deep / "out", form).path
    left = [p for p in tmp_path.rglob("*") if p.is_file() and p != out and out not in p.parents]
    assert not left
    assert not (tmp_path / "outside").exists()


def test_splits_whose_file_names_would_be_one_have_a_file_each(tmp_path):
    needs("parquet")
    source = make_source()
    records = [{**r, "split": split} for r, split in zip(source.records, ("a b", "a/b", "a/b", "c"), strict=True)]
    out = convert_clips(replace(source, records=records), tmp_path / "out", "parquet").path
    assert sorted(p.name for p in out.glob("*.parquet")) == [f"{n}-00000-of-00001.parquet" for n in ("a_b_0", "a_b_1", "c")]
    assert len(open_source(out).records) == 4


def test_a_label_that_is_no_whole_number_is_named(tmp_path):
    source = source_of(FLAT)
    for label in (1.0, "0", -1, 1):
        source.records[0]["label"] = label
        with pytest.raises(DataErrors, match=f"clip '0' has label {label!r}, the source names 1 classes"):
            convert_clips(source, tmp_path / "out", "annotation")
