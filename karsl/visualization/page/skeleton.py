"""A skeleton as the page draws it: groups, bones and dots by role; the page's style gives a role its colour."""

from __future__ import annotations

import json
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from karsl.skeletons import Skeleton, mirror_name
from karsl.visualization.drawing import palette

_ROLES = {
    palette.RIGHT: "right",
    palette.LEFT: "left",
    palette.RIGHT_ARM: "right-arm",
    palette.LEFT_ARM: "left-arm",
    palette.POSE: "pose",
    palette.FACE: "face",
}


@lru_cache(maxsize=64)
def skeleton_key(skeleton: Skeleton) -> str:
    """A name that two skeletons share only if they are the same."""
    written = json.dumps([skeleton.name, skeleton.parts, skeleton.bones]).encode()
    return f"{skeleton.name}~{blake2b(written, digest_size=3).hexdigest()}"


@lru_cache(maxsize=64)
def describe_for_page(skeleton: Skeleton) -> dict[str, Any]:
    """JSON of everything that is drawn; shared, so not to be edited.

    Example:
        >>> from karsl.skeletons import get_skeleton
        >>> about = describe_for_page(get_skeleton("karsl_184"))
        >>> [group["role"] for group in about["groups"]], about["tethers"][0]
        (['pose', 'face', 'right', 'left'], [142, 5, 'right'])
    """
    parts = skeleton.groups
    groups = [
        {
            "name": s.name,
            "label": s.label,
            "side": s.side,
            "role": _role(s.colour),
            "at": [parts[s.name].start, parts[s.name].stop],
        }
        for s in palette.group_styles(skeleton)
    ]
    return {
        "name": skeleton.name,
        "names": list(skeleton.names),
        "groups": groups,
        "bones": [[bone.start, bone.end, _role(bone.colour), bone.width] for bone in palette.bones(skeleton)],
        "dots": [[point, _role(colour)] for point, colour in palette.dots(skeleton)],
        "mirror": _mirror(skeleton),
        "tethers": [t for side in ("right", "left") if (t := _tether(skeleton, side))],
    }


def _mirror(skeleton: Skeleton) -> list[int]:
    place = {name: k for k, name in enumerate(skeleton.names)}
    return [place.get(mirror_name(name), -1) for name in skeleton.names]


def _role(colour: str) -> str:
    return _ROLES.get(colour, "other")


def _tether(skeleton: Skeleton, side: str) -> list[Any] | None:
    hand, arm = f"{side}_hand_wrist", f"{side}_wrist"
    if not {hand, arm} <= set(skeleton.names):
        return None
    return [skeleton.index(hand), skeleton.index(arm), side]
