"""What is a clip, what its path says of it, and what is reported as not read."""

from __future__ import annotations

import os

import pytest

from karsl.errors import ConfigError, DatasetNotFoundError
from karsl.extract.videos import list_videos, parse_path

NAME = "03_01_0071_(01_12_16_15_53_03)_c"
KARSL = {"sign": 71, "signer": "01", "chapter": 3, "session": "2016-12-01"}


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


@pytest.mark.parametrize(
    ("path", "clip_id", "metadata"),
    [
        (f"01/01/train/0071/{NAME}", f"01-train/0071/{NAME}", {**KARSL, "split": "train"}),
        (f"01/test/0071-0170/0071/{NAME}.mp4", f"01-test/0071/{NAME}", {**KARSL, "split": "test"}),
        (f"01/train/0071/{NAME}.mp4", f"01-train/0071/{NAME}", {**KARSL, "split": "train"}),
        (f"01-train/0071/{NAME}.avi", f"01-train/0071/{NAME}", {**KARSL, "split": "train"}),
        (f"train/0071/{NAME}.mp4", f"01-train/0071/{NAME}", {**KARSL, "split": "train"}),
        (f"{NAME}.mp4", f"01/0071/{NAME}", KARSL),
        ("02/test/0005/a.mp4", "02-test/0005/a", {"sign": 5, "signer": "02", "split": "test"}),
        ("hello/a.mp4", "hello/a", {"class": "hello"}),
        ("hello/a.1", "hello/a.1", {"class": "hello"}),
        ("Valid/hello/a.MP4", "Valid/hello/a", {"class": "hello", "split": "val"}),
        ("hello/train/signer3_sample1_color.mp4", "hello/train/signer3_sample1_color",
         {"class": "hello", "split": "train", "signer": "3"}),
        ("signer_2/hello/a.mp4", "signer_2/hello/a", {"class": "hello", "signer": "2"}),
        ("a.mp4", "a", {}),
    ],
)  # fmt: skip
def test_a_path_gives_the_metadata_of_its_clip(path, clip_id, metadata):
    assert parse_path(path) == (clip_id, metadata, ())


def test_a_name_that_contradicts_its_folder_is_a_doubt_and_the_folder_counts():
    clip_id, metadata, doubts = parse_path(f"02/train/0072/{NAME}.mp4")
    assert (clip_id, metadata["sign"], metadata["signer"]) == (f"02-train/0072/{NAME}", 72, "02")
    assert [doubt.split(":")[0] for doubt in doubts] == [
        "its name has sign 71, its folder 72",
        "its name has signer 01, its folder 02",
    ]


def test_videos_and_folders_of_pictures_are_clips_in_the_order_of_their_ids(tmp_path):
    touch(tmp_path, "b/2.mp4", "b/10.AVI", "a/clip/1.jpg", "a/clip/2.jpg", "a/._2.mp4", ".cache/x.mp4")
    found = list_videos(tmp_path)
    assert [(v.clip_id, v.path) for v in found.videos] == [("a/clip", "a/clip"), ("b/10", "b/10.AVI"), ("b/2", "b/2.mp4")]
    assert found.problems == {}
    assert found.notes == ["2 hidden files or folders are not read: '.cache', 'a/._2.mp4'"]


def test_a_folder_of_pictures_is_one_clip(tmp_path):
    touch(tmp_path / "word", "1.jpg", "2.jpg")
    found = list_videos(tmp_path / "word")
    assert [(v.clip_id, v.path) for v in found.videos] == [("word", ".")]


def test_what_is_not_read_is_named(tmp_path):
    touch(tmp_path, "b/2.mp4", "b/cover.jpg", "b/2.txt", "b/3.txt", "LICENSE", "top.png")
    (tmp_path / "b" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "b" / "gone.mp4").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "b" / "pipe.mp4")
    touch(tmp_path / "__MACOSX", "._2.mp4", "3.mp4")
    assert list_videos(tmp_path).notes == [
        "1 hidden file or folder is not read: '__MACOSX'",
        "1 link to a folder that contains it is not read: 'b/loop'",
        "1 link without a target is not read: 'b/gone.mp4'",
        "1 pipe, socket or device is not read: 'b/pipe.mp4'",
        "5 files not read: 2 .txt, 2 pictures next to videos or folders, 1 LICENSE",
    ]


def test_two_videos_of_one_name_and_names_that_are_not_utf8_are_problems(tmp_path):
    touch(tmp_path, "b/2.mp4", "b/2.avi")
    with open(os.fsencode(tmp_path) + b"/b/\xe9.mp4", "wb"):
        pass
    found = list_videos(tmp_path)
    assert [v.path for v in found.videos] == ["b/2.avi"]
    assert found.problems == {
        "b/2.mp4": "its clip has the same name as that of b/2.avi; rename one of them",
        "b/\\xe9.mp4": "the name is not UTF-8; rename it",
    }


def test_a_list_has_the_metadata_of_its_columns(tmp_path):
    touch(tmp_path / "videos", "a.mp4", "b.mp4", "c.mp4")
    (tmp_path / "lists").mkdir()
    rows = [
        "path,class,signer,sign,clip_id,fold",
        "../videos/a.mp4,hello,7,,first,1",
        "../videos/b.mp4,,,12,,2",
        "../videos/c.mp4,,,x,,2",
        f"../videos/e.mp4,,,{'9' * 5000},,2",
        "../videos/d.mp4,,,,,",
        ",,,,,",
        "../videos/a.mp4,,,,../out,",
    ]
    (tmp_path / "lists" / "all.csv").write_text("\n".join(rows))
    found = list_videos(tmp_path / "lists" / "all.csv")
    assert [(v.clip_id, v.path, v.metadata) for v in found.videos] == [
        ("first", "../videos/a.mp4", {"class": "hello", "signer": "7"}),
        ("videos/b", "../videos/b.mp4", {"class": "videos", "sign": 12}),
    ]
    assert found.problems == {
        "../videos/c.mp4": "sign 'x' is not a SignID",
        "../videos/e.mp4": f"sign '{'9' * 5000}' is not a SignID",
        "../videos/d.mp4": "the file does not exist",
        "row 7": "it has no path",
        "../videos/a.mp4": "clip_id '../out' leaves the folder of the clips; choose another",
    }
    assert found.notes == ["columns 'fold' are not read; known are path, sign, clip_id, class, signer, split, session"]


@pytest.mark.parametrize(
    ("name", "content", "error", "text"),
    [
        ("absent", None, DatasetNotFoundError, "no video, folder or list"),
        ("a.txt", b"", ConfigError, "neither a video, a folder nor a .csv list"),
        ("a.csv", b"video\n1.mp4\n", ConfigError, "no column 'path'"),
        ("b.csv", b"path\n\xe9.mp4\n", ConfigError, "save it again as UTF-8"),
    ],
)
def test_another_source_is_one_sentence(tmp_path, name, content, error, text):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=text):
        list_videos(tmp_path / name)


def test_a_folder_without_clips_is_described(tmp_path):
    touch(tmp_path, "a/1.npz")
    with pytest.raises(DatasetNotFoundError, match="contains no video and no folder of pictures .1 file not read: 1 .npz."):
        list_videos(tmp_path)


def test_the_videos_of_a_linked_folder_are_read(tmp_path):
    touch(tmp_path / "disk", "1.mp4")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "hello").symlink_to(tmp_path / "disk", target_is_directory=True)
    assert [video.clip_id for video in list_videos(tmp_path / "corpus").videos] == ["hello/1"]
