"""The reader on the page of the pack specification gives the clips that karsl gives, and the page has every field."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from xxhash import xxh3_64_hexdigest, xxh3_64_intdigest

from karsl.formats import open_clips
from karsl.pack.edit import remove_clips
from karsl.pack.write import pack_clips
from tests.pack.packed_clips import make_source

PAGE = (Path(__file__).parents[2] / "docs" / "spec-pack.md").read_text(encoding="utf-8")
READER = re.search(r"```python\n(import json.*?)```", PAGE, re.DOTALL)[1]


@pytest.fixture
def reader_class():
    names: dict = {}
    exec(compile(READER, "spec-pack.md", "exec"), names)
    return names["PackReader"]


@pytest.fixture(params=["float16", "float32"])
def pack(request, tmp_path):
    """A pack of several shards, two of them appended, without one of its clips."""
    folder = tmp_path / "pack"
    pack_clips(make_source(12), folder, dtype=request.param, shard_bytes=80_000)
    done = pack_clips(make_source(4, first=12), folder, mode="append", shard_bytes=40_000)
    assert len(done.manifest.shards) > 3
    remove_clips(folder, ["clip 3"])
    return folder


def test_the_reader_has_at_most_40_lines():
    assert len(READER[READER.index("class") :].strip().splitlines()) <= 40


def test_the_reader_gives_the_clips_labels_and_keypoints_that_karsl_gives(pack, reader_class):
    reader, source = reader_class(pack), open_clips(pack)
    assert len(reader) == len(source.records) == 15
    assert tuple(reader.keypoints) == source.skeleton.names
    assert list(reader.classes) == list(source.metainfo["classes"])
    for n, record in enumerate(source.records):
        clip, present, own = reader[n]
        expected = source.read(record)
        np.testing.assert_array_equal(clip, expected[..., :3])
        np.testing.assert_array_equal(present, expected[..., 3] > 0)
        assert (own["clip_id"], own["label"]) == (record["clip_id"], record["label"])


def test_the_reader_rejects_a_newer_version_and_a_path_that_leaves_the_folder(pack, reader_class):
    reader = reader_class(pack)
    reader.records[0]["keypoint_path"] = "../other.npy"
    with pytest.raises(ValueError, match="is not a shard"):
        reader[0]
    manifest = json.loads((pack / "manifest.json").read_text(encoding="utf-8"))
    (pack / "manifest.json").write_text(json.dumps({**manifest, "version": 2}), encoding="utf-8")
    with pytest.raises(ValueError, match="of version 2, this reader reads 1"):
        reader_class(pack)


def test_every_field_that_karsl_writes_is_on_the_page(pack):
    manifest = json.loads((pack / "manifest.json").read_text(encoding="utf-8"))
    annotations = json.loads((pack / "annotations.json").read_text(encoding="utf-8"))
    written = {*manifest, *manifest["shards"][0], *annotations["metainfo"], *annotations["data_list"][0]}
    assert [name for name in sorted(written) if f"`{name}`" not in PAGE] == []


def test_headers_are_as_specified(pack):
    for path in pack.glob("*.npy"):
        head = path.read_bytes()[:10]
        assert head[:8] == b"\x93NUMPY\x01\x00"
        assert (10 + int.from_bytes(head[8:10], "little")) % 64 == 0
        assert np.load(path, mmap_mode="r").flags.f_contiguous is path.name.startswith("clips")


def test_checksums_and_partitions_are_as_specified(pack):
    manifest = json.loads((pack / "manifest.json").read_text(encoding="utf-8"))
    own = manifest.pop("xxh3")
    assert own == xxh3_64_hexdigest(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode())
    for shard in manifest["shards"]:
        for name, entry in shard["files"].items():
            content = (pack / name).read_bytes()
            assert entry == {"bytes": len(content), "xxh3": xxh3_64_hexdigest(content)}
        frames, presence, clips = (np.load(pack / name) for name in shard["files"])
        assert (len(clips), len(frames)) == (shard["num_clips"], shard["num_frames"])
        starts = np.cumsum(clips[:, 1]) - clips[:, 1]
        np.testing.assert_array_equal(clips[:, 0], starts)
        for start, length, checksum in clips.tolist():
            rows = slice(start, start + length)
            assert xxh3_64_intdigest(frames[rows].tobytes() + presence[rows].tobytes()) == checksum
