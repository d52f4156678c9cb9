"""Tars: stock webdataset reads what we write, we read what others write, and damage is found."""

import io
import json
import os
import tarfile

import numpy as np
import pytest
from xxhash import xxh3_64_hexdigest

from karsl.errors import ConfigError, CorruptRecordError
from karsl.skeletons import Skeleton
from karsl.webdataset.index import SUFFIX, TarIndex, index_tar, load_index
from karsl.webdataset.samples import group_samples, list_tar, read_sample_json, to_record
from karsl.webdataset.write import TARS, repack_tar, write_tars

HAND = Skeleton("tar_hand", (("rh", ("a", "b", "c")),))
META = {"signs": (7, 9), "classes": ("yes", "no")}


def clip_of(number: int, frames: int = 5) -> np.ndarray:
    clip = np.random.default_rng(number).random((frames, 3, 4), dtype=np.float32) * 0.8 + 0.1
    clip[0, 1] = 0  # missing
    return clip.astype(np.float16).astype(np.float32)


def records_of(count: int) -> list[dict]:
    return [
        {"clip_id": f"01-train/0007/c.{n}", "sign": (7, 9)[n % 2], "num_frames": 5, "signer": "01"} for n in range(count)
    ]


@pytest.fixture
def tars(tmp_path):
    """Five clips in three tars, two per tar."""
    folder = tmp_path / "tars"
    write_tars(folder, META, records_of(5), lambda r: clip_of(int(r["clip_id"][-1])), skeleton=HAND, samples_per_shard=2)
    return folder


def other_tar(path, samples: dict[str, bytes], mode: str = "w"):
    with tarfile.open(path, mode) as archive:
        for name, content in samples.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_a_clip_can_be_mapped_at_the_offset_of_the_index(tars, tmp_path):
    index = load_index(tars / "clips-000001.tar", cache=tmp_path)
    assert [clip.key for clip in index.clips] == ["01-train/0007/c_2", "01-train/0007/c_3"]
    assert all(clip.start % 64 == 0 and clip.dtype == "float16" for clip in index.clips)
    raw = np.memmap(tars / "clips-000001.tar", np.uint8, "r")
    at = index.clips[1].start
    assert np.array_equal(raw[at : at + 5 * 3 * 4 * 2].view(np.float16).reshape(5, 3, 4), clip_of(3))
    assert index.clips[1].metadata == {
        "clip_id": "01-train/0007/c.3",
        "sign": 9,
        "num_frames": 5,
        "signer": "01",
        "label": 1,
    }


def test_stock_webdataset_reads_our_tars(tars):
    webdataset = pytest.importorskip("webdataset")
    samples = list(webdataset.WebDataset(f"{tars}/clips-{{000000..000002}}.tar", shardshuffle=False).decode())
    assert [s["json"]["clip_id"][-1] for s in samples] == list("01234")
    assert np.array_equal(samples[4]["npy"], clip_of(4))


def test_we_read_tars_of_stock_webdataset(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    with webdataset.ShardWriter(f"{tmp_path}/%d.tar", maxcount=9, verbose=0) as writer:
        for n in range(3):
            writer.write({"__key__": f"s{n}", "npy": clip_of(n), "cls": n})
    index = load_index(tmp_path / "0.tar", cache=tmp_path / "cache")
    assert (index.mapped, index.num_keypoints, [c.metadata for c in index.clips]) == (
        True,
        3,
        [{"label": n} for n in range(3)],
    )


def test_a_tar_cut_anywhere_is_one_clear_error(tars, tmp_path):
    whole = (tars / "clips-000000.tar").read_bytes()
    end = list_tar(tars / "clips-000000.tar")[-1]
    for size in (100, 700, end.start, end.start + 10, end.start + 512):
        cut = tmp_path / f"cut-{size}.tar"
        cut.write_bytes(whole[:size])
        with pytest.raises(CorruptRecordError, match=f"cut-{size}.tar: (cut off|no readable tar)"):
            index_tar(cut)


def test_one_flipped_bit_anywhere_in_an_indexed_tar_is_found(tars, tmp_path):
    path = tars / "clips-000002.tar"
    whole = path.read_bytes()
    for offset in range(0, len(whole), 97):
        bad = bytearray(whole)
        bad[offset] ^= 1 << offset % 8
        path.write_bytes(bad)
        os.utime(path, ns=(1, offset + 1))  # it was touched
        with pytest.raises(CorruptRecordError):
            load_index(path, cache=tmp_path)
    path.write_bytes(whole)
    assert load_index(path, cache=tmp_path).clips


def test_a_flipped_bit_in_an_index_is_found(tars, tmp_path):
    file = tars / f"clips-000000.tar{SUFFIX}"
    whole = file.read_bytes()
    for offset in range(0, len(whole), 41):
        bad = bytearray(whole)
        bad[offset] ^= 2
        file.write_bytes(bad)
        with pytest.raises(CorruptRecordError, match="damaged tar index"):
            load_index(tars / "clips-000000.tar", cache=tmp_path)


def test_a_copied_tar_keeps_its_index_and_a_changed_one_gets_another(tars, tmp_path):
    path = tars / "clips-000000.tar"
    os.utime(path, ns=(5, 5))
    assert load_index(path, cache=tmp_path / "cache").xxh3 == TarIndex.read(tars / f"clips-000000.tar{SUFFIX}").xxh3
    assert len(list((tmp_path / "cache").iterdir())) == 1
    other = other_tar(tmp_path / "own.tar", {"a.npy": npy(clip_of(1))})
    os.utime(other, (1, 1))  # else the next may be of the same tick of a coarse clock, and tars are of few sizes
    first = load_index(other, cache=tmp_path / "cache")
    other_tar(tmp_path / "own.tar", {"a.npy": npy(clip_of(2)), "b.npy": npy(clip_of(3))})
    assert (len(first.clips), len(load_index(other, cache=tmp_path / "cache").clips)) == (1, 2)


def test_foreign_members_are_left_alone_and_counted(tmp_path):
    content = {"README": b"hi", "a.npy": npy(clip_of(1)), "a.jpg": b"no", "b.txt": b"no clip", "d/c.npy": npy(clip_of(2))}
    index = index_tar(other_tar(tmp_path / "x.tar", content))
    assert ([clip.key for clip in index.clips], index.skipped) == (["a", "d/c"], 1)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"a.npy": b"not an array"}, "member 'a.npy' at byte 512: no readable .npy"),
        ({"a.npy": npy(np.zeros((2, 3)))}, "has shape"),
        ({"a.npy": npy(clip_of(1)), "b.npy": npy(np.ones((2, 5, 4), np.float32))}, "'b.npy' at byte .* has 5 keypoints"),
        ({"a.npy": npy(clip_of(1)), "a.json": b"{"}, "its .json cannot be read"),
        ({"a.x.npy": npy(clip_of(1)), "a.y.npy": npy(clip_of(1))}, "several arrays"),
        ({"a.npy": npy(np.array([{}], dtype=object))}, "holds object|no readable"),
    ],
)  # fmt: skip
def test_samples_that_are_no_clips_are_named(tmp_path, content, error):
    with pytest.raises(CorruptRecordError, match=error):
        index_tar(other_tar(tmp_path / "x.tar", content))


def test_members_of_one_name_are_rejected(tmp_path):
    members = list_tar(other_tar(tmp_path / "x.tar", {"a.npy": b"1"})) * 2
    with pytest.raises(CorruptRecordError, match="two members 'a.npy'"):
        group_samples(members, "x.tar")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_clips_in_another_format_are_unpacked_to_one_that_is_mapped(tmp_path, mode):
    raw = clip_of(1).astype(np.float64)[..., :3]
    archive = io.BytesIO()
    np.savez(archive, keypoint=clip_of(2)[..., :3], keypoint_score=clip_of(2)[..., 3])
    content = {"a.npy": npy(raw), "a.json": json.dumps({"label": 4}).encode(), "b.npz": archive.getvalue(), "b.cls": b"1"}
    other = other_tar(tmp_path / "x.tar.any", content, mode)
    assert repack_tar(other, tmp_path / "out.tar") == 2
    index = index_tar(tmp_path / "out.tar")
    assert (index.mapped, [c.metadata for c in index.clips]) == (True, [{"label": 4}, {"label": 1}])
    held = np.memmap(tmp_path / "out.tar", np.uint8, "r")
    read = [held[c.start : c.start + 5 * 3 * 16].view(np.float32).reshape(5, 3, 4) for c in index.clips]
    assert np.array_equal(read[0][..., :3], raw.astype(np.float32))
    assert read[0][0, 1, 3] == 0
    assert np.array_equal(read[1], clip_of(2))


def test_a_compressed_tar_that_is_cut_is_one_clear_error(tmp_path):
    whole = other_tar(tmp_path / "x.tar.gz", {"a.npy": npy(clip_of(1, 50))}, "w:gz").read_bytes()
    (tmp_path / "x.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptRecordError, match=r"x.tar.gz: no readable tar"):
        repack_tar(tmp_path / "x.tar.gz", tmp_path / "out.tar")


def test_equal_clips_make_equal_tars_and_tars_json_names_them(tars, tmp_path):
    write_tars(
        tmp_path / "again", META, records_of(5), lambda r: clip_of(int(r["clip_id"][-1])), skeleton=HAND, samples_per_shard=2
    )
    names = [p.name for p in sorted(tars.glob("*.tar"))]
    assert all((tars / n).read_bytes() == (tmp_path / "again" / n).read_bytes() for n in names)
    content = json.loads((tars / TARS).read_text())
    assert [t["name"] for t in content["tars"]] == names
    assert content["metainfo"]["skeleton"] == "tar_hand"


def test_fewer_clips_written_over_more_leave_no_tars_behind(tars):
    (tars / ".clips-000001.123.part.tar").write_bytes(b"of a killed writer")
    write_tars(tars, META, records_of(1), lambda r: clip_of(9), skeleton=HAND)
    assert sorted(p.name for p in tars.iterdir()) == ["clips-000000.tar", "clips-000000.tar.index", TARS]
    assert [c.key for c in index_tar(tars / "clips-000000.tar").clips] == ["01-train/0007/c_0"]


def test_tars_are_not_written_next_to_those_of_others(tars):
    (tars / "mine.tar").write_bytes(b"years of work")
    before = {p.name: p.read_bytes() for p in tars.iterdir()}
    with pytest.raises(ConfigError, match="contains 'mine.tar', which would be read with the new tars; name a folder"):
        write_tars(tars, META, records_of(1), lambda r: clip_of(9), skeleton=HAND)
    assert {p.name: p.read_bytes() for p in tars.iterdir()} == before


def test_what_float16_or_a_tar_cannot_store_is_rejected(tmp_path):
    far = clip_of(0) * 1e6
    with pytest.raises(ConfigError, match="holds .*, float16 ends at 65504; take dtype='float32'"):
        write_tars(tmp_path, META, records_of(1), lambda r: far, skeleton=HAND)
    with pytest.raises(ConfigError, match="has 60 values that are NaN or infinite"):
        write_tars(tmp_path, META, records_of(1), lambda r: far * np.nan, skeleton=HAND)
    with pytest.raises(ConfigError, match="a unique name"):
        write_tars(tmp_path, META, records_of(1) * 2, lambda r: clip_of(0), skeleton=HAND)
    with pytest.raises(ConfigError, match="tars of dtype='flot16', samples_per_shard=1000; expected 'float16' or 'float32'"):
        write_tars(tmp_path, META, records_of(1), lambda r: clip_of(0), skeleton=HAND, dtype="flot16")
    dot = Skeleton("tar_dot", (("rh", ("a",)),))
    with pytest.raises(ConfigError, match="has 3 keypoints, the skeleton 1"):
        write_tars(tmp_path, META, records_of(1), lambda r: clip_of(0), skeleton=dot)
    assert not list(tmp_path.glob("*.tar"))


def test_a_clip_with_nan_is_named_with_its_remedy(tmp_path):
    clip, stream = np.ones((3, 21, 4), np.float32), io.BytesIO()
    clip[1, 2, 0] = np.nan
    np.save(stream, clip)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("k.npy")
        info.size = len(stream.getvalue())
        archive.addfile(info, io.BytesIO(stream.getvalue()))
    with pytest.raises(CorruptRecordError, match="member 'k.npy' at byte 512 has 1 values that are NaN.*first in frame 1"):
        index_tar(tmp_path / "a.tar")


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ({"facts": 5}, "facts: expected object, got int"),
        ({"start": "0"}, "start: expected int, got str"),
        ({"start": -2}, "start: expected int >= -1"),
        ({"frames": None}, "frames: expected int, got null"),
        ({"frames": 1.5}, "frames: expected int, got float"),
        ({"dtype": "nonsense"}, "a tar of [0-9]+ bytes does not have 5 frames of nonsense at byte [0-9]+"),
        ({"dtype": ["f4"]}, "dtype: expected str, got array"),
        ({"xxh3": -1}, "xxh3: expected int >= 0"),
    ],
)
def test_an_index_with_a_checksum_but_other_values_is_one_sentence(tars, lie, words):
    path = tars / "clips-000000.tar.index"
    content = json.loads(path.read_text(encoding="utf-8").split("\n")[1])
    content["clips"][0] |= lie
    body = json.dumps(content, separators=(",", ":"))
    path.write_text(json.dumps({"form": "karsl tar index 1", "xxh3": xxh3_64_hexdigest(body.encode())}) + f"\n{body}\n")
    with pytest.raises(CorruptRecordError, match=f"clips-000000.tar.index: clip.*{words}; remove it to have it made again"):
        TarIndex.read(path)


def test_labels_of_every_spelling_are_read(tmp_path):
    assert read_sample_json({"cls": b"3.0\n"}, "x") == {"label": 3}
    assert to_record("a", {"label": "1"}, {}, "x")["label"] == 1
    with pytest.raises(CorruptRecordError, match="its .cls holds b'cat', which is no number"):
        read_sample_json({"cls": b"cat"}, "x")
