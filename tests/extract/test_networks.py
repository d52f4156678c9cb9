"""Networks: found in every kind of file, never accepted with other bytes, downloaded by pip or not at all."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile

import pytest

from karsl.errors import ConfigError, FetchError
from karsl.extract import networks as module
from karsl.extract.networks import FETCHED, fetch_networks, load_networks

WHEEL = "mediapipe-0.10.14-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"


@pytest.fixture
def known(monkeypatch) -> bytes:
    """The content of every network, in place of MediaPipe's."""
    content = b"a network"
    monkeypatch.setattr(module, "_SHA256", dict.fromkeys(module._FILES, (module.digest(content),)))
    return content


def write_wheel(path, content: bytes):
    """A wheel that pip accepts, with every network in it."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in FETCHED:
            archive.writestr(f"mediapipe/modules/{module._FILES[name][0]}", content)
        archive.writestr(
            "mediapipe-0.10.14.dist-info/METADATA", "Metadata-Version: 2.1\nName: mediapipe\nVersion: 0.10.14\n"
        )
        archive.writestr("mediapipe-0.10.14.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: cp312-cp312-manylinux2014_x86_64\n")
        archive.writestr("mediapipe-0.10.14.dist-info/RECORD", "")
    return path


@pytest.fixture
def local_index(tmp_path, monkeypatch):
    """A folder that is all that pip finds packages in."""
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()
    return tmp_path / "index"


def test_networks_are_read_from_a_wheel_and_from_a_folder(known, tmp_path):
    wheel = write_wheel(tmp_path / WHEEL, known)
    assert load_networks(wheel, FETCHED) == dict.fromkeys(FETCHED, known)
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "iris_landmark.tflite").write_bytes(known)
    assert load_networks(tmp_path / "folder", ["iris"]) == {"iris": known}


def test_networks_are_read_from_the_tarball_of_npm(known, tmp_path):
    files = {
        "package/pose_landmark_heavy.tflite": known,
        "package/holistic_solution_packed_assets.data": b"xx" + known,
        "package/holistic_solution_packed_assets_loader.js": b'loadPackage({"files": '
        + json.dumps([{"filename": "/m/hand_landmark_full.tflite", "start": 2, "end": 2 + len(known)}]).encode()
        + b"})",
    }
    with tarfile.open(tmp_path / "holistic.tgz", "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert load_networks(tmp_path / "holistic.tgz", ["pose_heavy", "hand"]) == {"pose_heavy": known, "hand": known}


def test_a_task_bundle_may_have_its_own_networks_and_needs_no_iris(tmp_path):
    with zipfile.ZipFile(tmp_path / "holistic.task", "w") as archive:
        archive.writestr("hand_landmarks_detector.tflite", b"another network")
    assert load_networks(tmp_path / "holistic.task", ["hand", "iris"]) == {"hand": b"another network"}


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: None, "no file or folder"),
        (lambda path: path.write_bytes(b"PK no archive"), "cannot be read"),
        (lambda path: write_wheel(path, b"other bytes"), "pose_detection.tflite has SHA-256"),
        (lambda path: zipfile.ZipFile(path, "w").close(), "contains no pose_detection.tflite, hand_recrop.tflite"),
    ],
)
def test_a_file_with_other_content_is_one_sentence_with_a_remedy(tmp_path, make, text):
    make(tmp_path / "models.whl")
    with pytest.raises(ConfigError, match=text) as error:
        load_networks(tmp_path / "models.whl", ["pose_detector", "hand_recrop"])
    assert "\n" not in str(error.value)


def test_before_the_download_the_error_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="run 'karsl extract --fetch-models' once"):
        load_networks(None, ["hand"])


def test_pip_downloads_the_wheel_and_only_its_networks_are_stored(known, local_index, tmp_path):
    write_wheel(local_index / WHEEL, known)
    for _ in range(2):  # the second call replaces the files
        folder = fetch_networks(tmp_path / "networks")
    assert sorted(p.name for p in folder.iterdir()) == sorted(module._FILES[name][0] for name in FETCHED)
    assert load_networks(folder, FETCHED) == dict.fromkeys(FETCHED, known)


def test_a_wheel_with_other_bytes_is_not_stored(local_index, tmp_path):
    write_wheel(local_index / WHEEL, b"other bytes")
    with pytest.raises(ConfigError, match="has SHA-256"):
        fetch_networks(tmp_path / "networks")
    assert not (tmp_path / "networks").exists()


def test_without_a_network_the_error_says_how_to_get_the_wheel(local_index, tmp_path):
    with pytest.raises(FetchError, match="pip download --no-deps .* mediapipe==0.10.14 .* on any machine and pass the file"):
        fetch_networks(tmp_path / "networks")
    assert not (tmp_path / "networks").exists()
