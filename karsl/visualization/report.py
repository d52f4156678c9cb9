"""The page of `karsl report`: one offline HTML file with a confusion matrix whose cells open clips in the browse page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from karsl.io.atomic import atomic_path
from karsl.version import __version__
from karsl.visualization.page.clip import clip_link
from karsl.visualization.page.document import assemble_html

# In the order in which they are joined: each uses only names of earlier ones when it is loaded.
_SCRIPTS = ("dom", "text", "canvas", "theme", "charts", "matrix", "report")


def write_report(
    path: str | Path,
    models: Sequence[Mapping[str, Any]],
    *,
    comparisons: Sequence[Mapping[str, Any]] = (),
    browse: str = "",
    title: str = "results",
) -> None:
    """Write the page.

    Args:
        path: File to write, such as `report.html`.
        models: One per model: `report` (of `karsl.evaluation.evaluate`), `clips` (`id`, `signer`, `label`, `predicted` and
            `confidence` of each clip) and `cluster` (order of the classes in which confused ones are neighbors).
        comparisons: Results of `karsl.evaluation.compare`.
        browse: Address of the browse page, relative to `path`; the user can change it in the page.
        title: Title of the page.

    Raises:
        ValueError: If there are no models.
    """
    if not models:
        raise ValueError(f"no results to write to {path}; give at least one score file")
    data = {
        "title": title,
        "version": __version__,
        "browse": browse,
        "models": [{**model, "clips": _with_links(model["clips"])} for model in models],
        "comparisons": list(comparisons),
    }
    styles = ("page.css", "report.css")
    html = assemble_html(data, title=title, template="report.html", styles=styles, scripts=_SCRIPTS)
    with atomic_path(path) as part:
        part.write_text(html, encoding="utf-8")


def _with_links(clips: Mapping[str, Sequence]) -> dict[str, Sequence]:
    return {**clips, "link": list(map(_link, clips["id"]))}


def _link(clip_id: str) -> str | None:
    """Return the link of a clip in the browse page, None if it is the name of the clip."""
    link = clip_link(clip_id)
    return None if link == clip_id else link
