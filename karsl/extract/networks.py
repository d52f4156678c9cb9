"""MediaPipe's TFLite networks: find them in the files that a user has, download them, and check their bytes."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from karsl.errors import ConfigError, FetchError
from karsl.io.atomic import atomic_output
from karsl.io.cache_folder import user_cache_folder

# Name of a network here: its file in MediaPipe's source tree, and in a .task bundle.
_FILES = {
    "pose_detector": ("pose_detection.tflite", "pose_detector.tflite"),
    "pose_lite": ("pose_landmark_lite.tflite",),
    "pose_full": ("pose_landmark_full.tflite", "pose_landmarks_detector.tflite"),
    "pose_heavy": ("pose_landmark_heavy.tflite",),
    "hand_recrop": ("hand_recrop.tflite", "hand_roi_refinement.tflite"),
    "hand": ("hand_landmark_full.tflite", "hand_landmarks_detector.tflite"),
    "face_detector": ("face_detection_short_range.tflite", "face_detector.tflite"),
    "face": ("face_landmark.tflite", "face_landmarks_detector.tflite"),
    "iris": ("iris_landmark.tflite",),
}
FETCHED = ("pose_detector", "pose_full", "hand_recrop", "hand", "face_detector", "face", "iris")
"""Networks that `fetch_networks` downloads."""
# SHA-256 of the files of MediaPipe's source tree: in the wheels of mediapipe 0.10.14 to 0.10.21, then, where the bytes
# differ, in version 0.5.1675471629 of the npm package @mediapipe/holistic.
_SHA256 = {
    "pose_detector": (
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
        "a63c614bef30d35947f13be361820b1e4e3bec9cfeebf4d11216a18373108e85",
    ),
    "pose_lite": ("f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",),
    "pose_full": ("e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",),
    "pose_heavy": ("59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",),
    "hand_recrop": ("67d996ce96f9d36fe17d2693022c6da93168026ab2f028f9e2365398d8ac7d5d",),
    "hand": (
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
        "8c026882c9ec059ce0f8e75266bee5a9a23c341a40e0000df755374d3d1b9b68",
    ),
    "face_detector": (
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
        "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
    ),
    "face": (
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
        "c603fa6149219a3e9487dc9abd7a0c24474c77263273d24868378cdf40aa26d1",
    ),
    "iris": ("d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",),
}
_WHEEL = ("mediapipe==0.10.14", "--python-version", "3.12", "--platform", "manylinux2014_x86_64")
_PIP = ("download", "--no-deps", "--only-binary=:all:", *_WHEEL)


def networks_folder() -> Path:
    """Return the folder in which `fetch_networks` stores the networks by default."""
    return user_cache_folder() / "mediapipe"


def load_networks(source: str | Path | None, wanted: Sequence[str]) -> dict[str, bytes]:
    """Read networks.

    Args:
        source: Wheel of mediapipe (0.10.14 to 0.10.21), tarball of npm's @mediapipe/holistic, `.task` bundle, or folder
            with files of these. None is the folder of `fetch_networks`.
        wanted: Names of networks. `'iris'` may be absent: a bundle has a face network that finds irises.

    Returns:
        Contents by name.

    Raises:
        ConfigError: If the source or a network does not exist or cannot be read, or a network of the source tree has
            other bytes than MediaPipe released.
    """
    path = networks_folder() if source is None else Path(source)
    if not path.exists():
        if source is None:
            raise ConfigError("the networks of MediaPipe are not on this machine; run 'karsl extract --fetch-models' once")
        raise ConfigError(f"no file or folder '{path}' with networks; 'karsl extract --fetch-models' downloads them")
    filenames = {filename for name in wanted for filename in _FILES[name]}
    try:
        files = {filename: content for filename, content in _list_files(path) if filename in filenames}
    except (OSError, zipfile.BadZipFile, tarfile.TarError, ValueError, KeyError, AttributeError, EOFError) as error:
        raise ConfigError(f"{path}: the networks cannot be read ({error}); download the file again") from error
    found: dict[str, bytes] = {}
    for name in wanted:
        filename = next((filename for filename in _FILES[name] if filename in files), None)
        if filename is not None:
            found[name] = files[filename]
            _check_bytes(name, filename, found[name], path)
    absent = [_FILES[name][0] for name in wanted if name not in found and name != "iris"]
    if absent:
        raise ConfigError(f"{path} contains no {', '.join(absent)}; 'karsl extract --fetch-models' downloads the networks")
    return found


def fetch_networks(folder: str | Path | None = None) -> Path:
    """Download the networks with the pip of this Python, out of a wheel that is not installed, and check their SHA-256.

    Args:
        folder: Folder to write; replaced if it exists. None is `networks_folder()`.

    Returns:
        The folder.

    Raises:
        FetchError: If pip is absent or fails.
        ConfigError: If a network has other bytes than MediaPipe released. Nothing is stored then.
    """
    folder = networks_folder() if folder is None else Path(folder)
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            [sys.executable, "-m", "pip", *_PIP, "--quiet", "--disable-pip-version-check", "--dest", scratch],
            capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
        )  # fmt: skip
        wheel = next(Path(scratch).glob("*.whl"), None)
        if done.returncode or wheel is None:
            reason = next((line for line in reversed(done.stderr.splitlines()) if "rror" in line), "no output").strip()
            raise FetchError(
                f"pip could not download mediapipe 0.10.14 ({reason}); check the network, or run"
                f" 'pip {' '.join(_PIP)}' on any machine and pass the file with --models"
            )
        networks = load_networks(wheel, FETCHED)
    for stale in folder.glob("*.tflite"):
        stale.unlink()
    with atomic_output(folder) as temp:
        for name, content in networks.items():
            (temp / _FILES[name][0]).write_bytes(content)
    return folder


def digest(content: bytes) -> str:
    """Return the SHA-256 of a network in hex."""
    return hashlib.sha256(content).hexdigest()


def _check_bytes(name: str, filename: str, content: bytes, path: Path) -> None:
    """Compare a network of MediaPipe's source tree with its release. Those of bundles have no list."""
    if filename == _FILES[name][0] and digest(content) not in _SHA256[name]:
        raise ConfigError(
            f"{path}: {filename} has SHA-256 {digest(content)[:16]}..., MediaPipe's {_SHA256[name][0][:16]}...; it is "
            "damaged or changed, download the networks again with 'karsl extract --fetch-models'"
        )


def _list_files(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        yield from _list_folder(path)
        return
    readers: dict[str, Callable[[Path], Iterator[tuple[str, bytes]]]] = {".tgz": _list_tarball}
    yield from readers.get(path.suffix.lower(), _list_zip)(path)


def _list_zip(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".tflite"):
                yield Path(name).name, archive.read(name)


def _list_tarball(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the networks of npm's package: those of the pose are files, the others parts of a file indexed in a script."""
    with tarfile.open(path) as archive:
        files = {Path(m.name).name: archive.extractfile(m).read() for m in archive if m.isfile()}  # type: ignore[union-attr]
    yield from ((name, content) for name, content in files.items() if name.endswith(".tflite"))
    for name in [name for name in files if name.endswith("_packed_assets_loader.js")]:
        index = json.loads(re.search(rb"loadPackage\((\{.*?\})\)", files[name], re.S).group(1))  # type: ignore[union-attr]
        assets = files[name.replace("_loader.js", ".data")]
        yield from ((Path(e["filename"]).name, assets[e["start"] : e["end"]]) for e in index["files"])


def _list_folder(path: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(path.rglob("*")):
        if file.suffix == ".tflite":
            yield file.name, file.read_bytes()
        elif file.suffix == ".task":
            yield from _list_zip(file)
