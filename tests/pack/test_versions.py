"""A pack of a newer version is one clear error everywhere, and unknown fields of the same version are ignored."""

from __future__ import annotations

import json

import numpy as np
import pytest

from karsl.cli.main import main
from karsl.datasets import KeypointDataset, StreamDataset
from karsl.errors import PackError
from karsl.formats import open_clips
from karsl.io.pack_reader import Pack
from karsl.pack import manifest, remove_clips, verify_pack
from karsl.pack.manifest import Manifest
from karsl.pack.write import pack_clips
from tests.pack.packed_clips import make_source

NEWER = "manifest.json is of version 2, this karsl reads 1; update karsl"


def edit_manifest(pack, edit) -> None:
    """Change the content of a manifest and its checksum."""
    path = pack / "manifest.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    del stored["xxh3"]
    edit(stored)
    path.write_text(json.dumps({**stored, "xxh3": manifest._checksum(stored)}), encoding="utf-8")


@pytest.fixture
def newer(pack):
    """Return a pack of version 2, whose other fields are unknown."""
    edit_manifest(pack, lambda m: m.update(version=2, shards="remote", dtype="bfloat16"))
    return pack


@pytest.mark.parametrize(
    "use",
    [
        lambda pack: KeypointDataset("annotations.json", data_root=str(pack)),
        lambda pack: StreamDataset(str(pack)),
        lambda pack: open_clips(pack),
        lambda pack: Pack(pack / "frames-00000.npy"),
        verify_pack,
        lambda pack: remove_clips(pack, ["clip 1"]),
        lambda pack: pack_clips(make_source(2, first=90), pack, mode="append"),
    ],
    ids=["dataset", "stream", "source", "shard", "verify", "remove", "append"],
)
def test_a_newer_version_is_one_clear_error(newer, use):
    with pytest.raises(PackError, match=NEWER):
        use(newer)


def test_a_newer_version_is_one_line_of_a_command(newer, capsys):
    assert main(["pack", "--verify", str(newer)]) == 2
    assert capsys.readouterr().err.splitlines() == [f"karsl pack: {newer}/{NEWER}"]


def test_the_version_is_reported_before_differences_of_the_records(pack):
    edit_manifest(pack, lambda m: m.update(version=2))
    (pack / "annotations.json").write_text('{"clips": []}')
    with pytest.raises(PackError, match=NEWER):
        KeypointDataset("annotations.json", data_root=str(pack))


def test_unknown_fields_of_the_same_version_are_ignored(pack):
    before = open_clips(pack)
    clips = [before.read(record) for record in before.records]

    def add_fields(stored):
        stored.update(created="2027", tags={"a": [1]})
        stored["shards"][0].update(compression=None)
        stored["annotations"].update(sha256="0" * 64)

    edit_manifest(pack, add_fields)
    assert Manifest.read(pack).num_clips == 20
    dataset = KeypointDataset("annotations.json", data_root=str(pack), pipeline=[dict(type="LoadKeypoints")])
    for n, clip in enumerate(clips):
        np.testing.assert_array_equal(np.nan_to_num(dataset[n]["keypoint"]), clip[..., :3])


@pytest.mark.parametrize(
    ("add", "name"),
    [
        (lambda stored: stored.update(created="2027"), "created"),
        (lambda stored: stored["shards"][0].update(compression=None), r"shards\[0\]\.compression"),
        (lambda stored: stored["annotations"].update(sha256=""), r"annotations\.sha256"),
    ],
)
@pytest.mark.parametrize("use", [verify_pack, lambda pack: remove_clips(pack, ["clip 1"])], ids=["verify", "remove"])
def test_a_pack_with_an_unknown_field_is_neither_verified_nor_changed(pack, use, add, name):
    edit_manifest(pack, add)
    before = (pack / "manifest.json").read_bytes()
    with pytest.raises(PackError, match=f"'{name}', but can neither verify nor change"):
        use(pack)
    assert (pack / "manifest.json").read_bytes() == before


def test_a_manifest_json_of_another_program_next_to_frames_is_no_pack_manifest(pack):
    (pack / "manifest.json").write_text('{"version": 7, "name": "a web app"}')
    assert len(Pack(pack / "frames-00000.npy").frames)
