"""Clips for the browse page, from any dataset: stages, other draws, links that no two clips share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from karsl.visualization.clips.choice import Stage
from karsl.visualization.clips.places import ClipPlace
from karsl.visualization.page import PageClip


def page_clips(clips: Iterable[tuple[ClipPlace, list[Stage], list[Stage]]]) -> Iterator[PageClip]:
    """What `write_page` takes, one at a time.

    Args:
        clips: Place, stages and further draws of each, as `shown_stages` gives them.
    """
    links: dict[str, int] = {}
    for place, stages, draws in clips:
        clip = page_clip(place, stages, draws)
        yield replace(clip, link=unique_link(clip.link, links))


def page_clip(place: ClipPlace, stages: list[Stage], draws: list[Stage]) -> PageClip:
    """One clip of the page."""
    first = {**place.record, **stages[0][1]}
    return PageClip.of(
        [(stages[0][0], first), *stages[1:]], metainfo=place.metainfo, draws=[results for _, results in draws]
    )


def unique_link(link: str, taken: dict[str, int]) -> str:
    """A link that is not taken yet, and take it: the second clip of a name is `name~2`.

    Example:
        >>> taken = {}
        >>> [unique_link("a", taken) for _ in range(3)]
        ['a', 'a~2', 'a~3']
    """
    taken[link] = taken.get(link, 0) + 1
    return link if taken[link] == 1 else unique_link(f"{link}~{taken[link]}", taken)


def source_facts(source: str, dataset: Any, *, shown: int) -> Mapping[str, str]:
    """Where clips come from, for the page's statistics."""
    about: dict[str, str] = {"source": str(source), "clips": f"{shown} of {len(dataset)}"}
    metainfo = getattr(dataset, "metainfo", None) or {}
    if metainfo.get("dataset_name"):
        about["dataset"] = str(metainfo["dataset_name"])
    if isinstance(metainfo.get("skeleton"), str):
        about["skeleton"] = metainfo["skeleton"]
    return about
