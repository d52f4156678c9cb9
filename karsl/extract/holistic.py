"""The extractor `holistic`: pose, face and hands by the networks of MediaPipe Holistic, without MediaPipe.

Steps and constants are those of the graph mediapipe/modules/holistic_landmark of MediaPipe 0.10.14 (Apache-2.0), except that
it searches face and hands near those of the frame before, and here every frame is processed alone.
Source: https://github.com/google-ai-edge/mediapipe/tree/v0.10.14/mediapipe/modules/holistic_landmark
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from karsl.errors import ConfigError, missing_extra
from karsl.extract.base import register_extractor
from karsl.extract.detector import anchor_centers, best_keypoints
from karsl.extract.litert_network import LiteRTNetwork, has_litert
from karsl.extract.networks import digest, load_networks
from karsl.extract.regions import Regions, around_points, rotation, toward_point
from karsl.skeletons.mediapipe import NUM_VERTICES, POSE_33, VERTEX_NAMES, hand

VERSION = 1  # increase when the numbers change: clips are then extracted again
POSES, ENGINES = ("full", "lite", "heavy"), ("litert", "torch")
_NAMES = (*POSE_33, *VERTEX_NAMES, *hand("left"), *hand("right"))
_POSE, _FACE, _LEFT, _RIGHT = slice(0, 33), slice(33, 511), slice(511, 532), slice(532, 553)
_IRISES = frozenset(VERTEX_NAMES[NUM_VERTICES:])
_EYE_CONTOURS = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
)
_MIN_PRESENCE, _MIN_WRIST = 0.5, 0.1


class Network(Protocol):
    """A network: `size` is the side of its input; images, float32 (N, size, size, 3), to a list of outputs."""

    size: int

    def __call__(self, images: np.ndarray) -> list[np.ndarray]: ...


@register_extractor("holistic")
class HolisticExtractor:
    """Find 33 keypoints of the pose, 478 of the face and 21 of each hand of one person.

    The left hand is the signer's: it is searched at the left wrist of the pose. x and y are relative to the picture, z is
    scaled as by MediaPipe. The score of a pose keypoint is its visibility, that of others is 1.

    Args:
        models: Networks, see `load_networks`. None uses those of `fetch_networks`.
        device: Device of the torch engine.
        wanted: Keypoints that are used; without irises among them, their network is not run.
        pose: Network of the pose, `'full'`, `'lite'` or `'heavy'`.
        engine: `'litert'` or `'torch'`. None uses LiteRT if it is installed and `device` is the CPU.

    Raises:
        ConfigError: If an option is unknown, a network is absent, or torch cannot use the device.
        MissingExtraError: If LiteRT is requested and not installed.
    """

    names = _NAMES

    def __init__(
        self,
        models: str | Path | None = None,
        device: str = "cpu",
        wanted: Sequence[str] = (),
        pose: str = "full",
        engine: str | None = None,
    ) -> None:
        if pose not in POSES or engine not in (None, *ENGINES):
            raise ConfigError(f"extractor holistic: pose={pose!r}, engine={engine!r}; expected {POSES} and {ENGINES}")
        self.engine = engine or ("litert" if device == "cpu" and has_litert() else "torch")
        if self.engine == "litert" and device != "cpu":
            raise ConfigError(f"extractor holistic: engine 'litert' runs on the CPU, not on {device!r}; use engine 'torch'")
        if self.engine == "litert" and not has_litert():
            raise missing_extra("extract", "ai-edge-litert")
        if device != "cpu":
            from karsl.extract.torch_network import check_device

            check_device(device)
        self.device, self._pose_name = device, f"pose_{pose}"
        names = ["pose_detector", self._pose_name, "hand_recrop", "hand", "face_detector", "face"]
        names += ["iris"] if not wanted or _IRISES & set(wanted) else []
        self._contents = load_networks(models, names)
        self.batch_size = 1 if self.engine == "litert" else 16
        sums = {name: digest(content)[:16] for name, content in self._contents.items()}
        self.recipe: dict[str, Any] = {"name": "holistic", "version": VERSION, "engine": self.engine, "networks": sums}
        self._networks: dict[str, Network] = {}
        self._pose_anchors = anchor_centers(224, (8, 16, 32, 32, 32), 2)
        self._face_anchors = anchor_centers(128, (8, 16, 16, 16), 2)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Find the keypoints in images, uint8 (N, height, width, 3) RGB; float32 (N, 553, 4), NaN and score 0 if missing."""
        points = np.full((len(images), len(_NAMES), 4), np.nan, np.float32)
        points[..., 3] = 0
        extent = np.array([images.shape[2], images.shape[1], images.shape[2]], np.float64)

        def store(part: slice, index: np.ndarray, pixels: np.ndarray, score: Any) -> None:
            points[index, part, :3], points[index, part, 3] = pixels / extent, score

        index, pose = self._find_poses(images)
        store(_POSE, index, pose[..., :3], pose[..., 3])
        for part, arm in ((_LEFT, [15, 17, 19]), (_RIGHT, [16, 18, 20])):
            store(part, *self._find_hands(images, index, pose[:, arm]), 1)
        owner, face = self._find_faces(images, index, pose[:, :11, :2])
        store(_FACE, owner, face, np.isfinite(face[..., 0]))
        return points

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_networks": {}}

    def _network(self, name: str) -> Network:
        if name not in self._networks:
            self._networks[name] = _engine(self.engine, self.device)(self._contents[name])
        return self._networks[name]

    def _find_poses(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the indices of the images with a person, int64 (M,), and x, y, z, visibility, (M, 33, 4), in pixels."""
        count, height, width, _ = images.shape
        whole = Regions(
            np.arange(count), np.tile([width / 2, height / 2], (count, 1)), np.full(count, float(max(width, height))),
            np.zeros(count),
        )  # fmt: skip
        found, points = self._detect("pose_detector", whole, images, self._pose_anchors)
        hips, end = found.to_image(points)[:, :2].swapaxes(0, 1)
        regions = toward_point(found.image, hips, end, rotation(hips, end, 90)).scale(1.25)
        network = self._network(self._pose_name)
        raw, presence, _, heat, _ = _run(network, regions.crop(images, network.size), 5)
        keep = presence.reshape(-1) > _MIN_PRESENCE
        regions, values, heat = regions[keep], raw.reshape(-1, 39, 5)[keep, :33], heat[keep]
        for row, peaks in zip(values, heat, strict=True):
            row[:, :2] = _refine(row[:, :2] / network.size, peaks) * network.size
        points = _to_image(regions, values, network.size)
        return regions.image, np.concatenate([points, _sigmoid(values[..., 3:4])], axis=-1)

    def _find_hands(self, images: np.ndarray, index: np.ndarray, arms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find one hand per image.

        Args:
            images: Images.
            index: int64 (M,), images of the arms.
            arms: (M, 3, 4), wrist, little finger and index finger of the pose, in pixels.

        Returns:
            Indices of the images with a hand, int64 (K,), and x, y, z, (K, 21, 3), in pixels.
        """
        keep = arms[:, 0, 3] > _MIN_WRIST
        wrist, middle = arms[keep, 0, :2], (2 * arms[keep, 2, :2] + arms[keep, 1, :2]) / 3
        distance = 2 * np.hypot(*(middle - wrist).T)
        regions = Regions(index[keep], middle, distance, rotation(wrist, middle, 90)).scale(2.7, -0.1)
        network = self._network("hand_recrop")
        ends = _run(network, regions.crop(images, network.size), 1)[0].reshape(-1, 2, 2) / network.size
        start, end = regions.to_image(ends).swapaxes(0, 1)
        regions = toward_point(regions.image, start, end, rotation(start, end, -90)).scale(1, -0.1)
        network = self._network("hand")
        raw, presence, _, _ = _run(network, regions.crop(images, network.size), 4)
        found = presence.reshape(-1) > _MIN_PRESENCE
        return regions.image[found], _to_image(regions[found], raw.reshape(-1, 21, 3)[found], network.size, z_scale=0.4)

    def _find_faces(self, images: np.ndarray, index: np.ndarray, head: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find one face per image at the head of the pose, (M, 11, 2) in pixels; irises that are not wanted are NaN.

        Returns:
            Indices of the images with a face, int64 (K,), and x, y, z, (K, 478, 3), in pixels.
        """
        heads = around_points(index, head, rotation(head[:, 5], head[:, 2], 0)).scale(3)
        found, points = self._detect("face_detector", heads, images, self._face_anchors)
        eyes = found.to_image(points)
        regions = around_points(found.image, eyes, rotation(eyes[:, 0], eyes[:, 1], 0), shift=-0.1).scale(2)
        network = self._network("face")
        raw, presence = _run(network, regions.crop(images, network.size), 2)[:2]
        keep = _sigmoid(presence.reshape(-1)) > _MIN_PRESENCE
        vertices = raw.reshape(len(raw), raw.size // max(len(raw), 1) // 3, 3)
        points = _to_image(regions[keep], vertices[keep], network.size)
        face = np.full((len(points), len(VERTEX_NAMES), 3), np.nan)
        face[:, : points.shape[1]] = points  # the network of a .task bundle finds the irises, too
        if "iris" in self._contents and points.shape[1] == NUM_VERTICES:
            for side, contour in enumerate(_EYE_CONTOURS):
                irises = self._find_irises(images, regions.image[keep], face[:, list(contour)], is_left=side == 1)
                face[:, NUM_VERTICES + 5 * side : NUM_VERTICES + 5 * side + 5] = irises
        return regions.image[keep], face

    def _find_irises(self, images: np.ndarray, index: np.ndarray, contour: np.ndarray, *, is_left: bool) -> np.ndarray:
        """Return x, y, z, (K, 5, 3), of the iris within the contour of an eye, (K, 16, 3); all in pixels."""
        ends = contour[:, [8, 0] if is_left else [0, 8], :2]
        regions = around_points(index, ends, rotation(ends[:, 0], ends[:, 1], 0)).scale(2.3)
        network = self._network("iris")
        values = _run(network, regions.crop(images, network.size, flip=is_left), 2)[1].reshape(-1, 5, 3)
        if is_left:  # the network knows right eyes: mirror the result, which exchanges its outer and inner edge
            values = np.concatenate([network.size - values[..., :1], values[..., 1:]], axis=-1)[:, [0, 3, 2, 1, 4]]
        points = _to_image(regions, values, network.size)
        points[..., 2] = contour[..., 2].mean(-1, keepdims=True)  # the depth of the eye, as MediaPipe's attention network
        return points

    def _detect(self, name: str, regions: Regions, images: np.ndarray, anchors: np.ndarray) -> tuple[Regions, np.ndarray]:
        """Return the regions with a detection and its keypoints, (M, k, 2) in [0, 1] of the region."""
        network = self._network(name)
        raw, logits = _run(network, regions.crop(images, network.size, low=-1.0, zeros=True), 2)
        found = [best_keypoints(r, p, anchors, network.size) for r, p in zip(raw, logits, strict=True)]
        keep = np.array([points is not None for points in found], bool)
        points = [points for points in found if points is not None]
        return regions[keep], np.stack(points) if points else np.empty((0, 4 if name == "pose_detector" else 6, 2))


def _engine(engine: str, device: str) -> Callable[[bytes], Network]:
    if engine == "litert":
        return LiteRTNetwork
    from karsl.extract.torch_network import TorchNetwork

    return lambda content: TorchNetwork(content, device)


def _run(network: Network, images: np.ndarray, outputs: int) -> list[np.ndarray]:
    """Run a network; without images, return empty outputs."""
    return network(images) if len(images) else [np.empty((0, 0), np.float32)] * outputs


def _to_image(regions: Regions, raw: np.ndarray, size: int, *, z_scale: float = 1.0) -> np.ndarray:
    """Map x, y, z of a network, (M, n, >= 3), to pixels of the picture, float64 (M, n, 3)."""
    z = raw[..., 2:3] / size * (regions.side / z_scale)[:, None, None]
    return np.concatenate([regions.to_image(raw[..., :2] / size), z], axis=-1)


def _refine(points: np.ndarray, heat: np.ndarray, reach: int = 4) -> np.ndarray:
    """Move points (n, 2) in [0, 1] to the center of mass of their heat map near them, where it is high enough.

    MediaPipe's graph states a kernel of 7, but 9 is what it uses (`reach` 4 on each side).
    """
    height, width = heat.shape[:2]
    refined = points.copy()
    for k, (x, y) in enumerate(points):
        col, row = int(x * width), int(y * height)
        if not (0 <= col < width and 0 <= row < height):
            continue
        left, top = max(0, col - reach), max(0, row - reach)
        mass = _sigmoid(heat[top : row + reach + 1, left : col + reach + 1, k])
        if mass.max() >= _MIN_PRESENCE:
            total = mass.sum()
            refined[k, 0] = mass.sum(0) @ np.arange(left, left + mass.shape[1]) / total / width
            refined[k, 1] = mass.sum(1) @ np.arange(top, top + mass.shape[0]) / total / height
    return refined


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
