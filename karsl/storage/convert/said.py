"""What a file says of its clips, completed by what the user says: its points, and names for its classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from karsl.errors import AnnotationError, SkeletonError
from karsl.skeletons import Skeleton, get_skeleton


def skeleton_of(said: str | Mapping[str, Any] | None, given: Skeleton | None, *, where: Path) -> Skeleton:
    """The skeleton that a file names, or the given one where it names none that is known here.

    Raises:
        AnnotationError: It names none, and none is given.
        SkeletonError: It names one that is not known here, and none is given.

    Example:
        >>> skeleton_of("hand_42", get_skeleton("mp_75"), where=Path("x")).name  # the file knows; a caller may map from it
        'hand_42'
    """
    if said is None:
        if given is None:
            asked = "--source-skeleton NAME (skeleton=...), coco_17 for example"
            raise AnnotationError(f"{where}: nothing says what the points are; give {asked}")
        return given
    try:
        return get_skeleton(said)
    except SkeletonError:
        if given is None:
            raise
        return given


def numbered_classes(labels: Iterable[int]) -> tuple[str, ...]:
    """Names for classes that have none: their labels, in four digits.

    Example:
        >>> numbered_classes([2, 0])
        ('0000', '0001', '0002')
    """
    return tuple(f"{label:04d}" for label in range(max(labels, default=-1) + 1))
