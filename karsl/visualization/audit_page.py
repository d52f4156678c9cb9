"""The report of an audit as one HTML file, and a browse page of the clips that it names."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from karsl.audit.finding import KINDS, Finding
from karsl.audit.report import AuditReport
from karsl.errors import KarslError, pluralize
from karsl.io.atomic import atomic_path
from karsl.io.sources import ClipSource
from karsl.visualization.clip_sheets import clip_sheet
from karsl.visualization.clips.sources import SourceClips
from karsl.visualization.page.clip import PageClip, clip_link
from karsl.visualization.page.page import write_page

_PICTURES, _PICTURES_PER_FINDING, _COLUMNS = 40, 3, 6
_MAX_CLIPS, _MAX_NAMES = 200, 500  # of the browse page; names of a finding
_BARS, _WIDTH, _HEIGHT = 24, 300, 90
_STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#111827, #eaeff7); --paper: light-dark(#fff, #151b26);
  --muted: light-dark(#556274, #9dabbd); --faint: light-dark(#dfe4ec, #2a3444); --bad: light-dark(#b3123f, #ff6f91);
  --right: light-dark(#d9480f, #ff8f55); --left: light-dark(#1769b5, #5fb0ff); --other: light-dark(#0b7a5b, #4cc9a2); }
body { margin: 0 auto; padding: 24px; max-width: 1100px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", "Noto Sans Arabic", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.4rem; margin: 0 0 4px; } h2 { font-size: 1.1rem; margin: 28px 0 8px; } h3 { font-size: 1rem; margin: 0; }
a { color: var(--left); } .muted { color: var(--muted); } ul { margin: 6px 0; padding-left: 20px; overflow-wrap: anywhere; }
section.finding { border: 1px solid var(--faint); border-left: 4px solid var(--muted); border-radius: 6px;
  padding: 10px 14px; margin: 12px 0; overflow-wrap: anywhere; }
section.problem { border-left-color: var(--bad); } .problem h3 { color: var(--bad); }
figure { margin: 10px 0 0; overflow-x: auto; } figure img { max-width: 100%; border: 1px solid var(--faint); }
figcaption { font-size: .85rem; color: var(--muted); } .plots { display: flex; flex-wrap: wrap; gap: 18px; }
table { border-collapse: collapse; } td, th { padding: 3px 12px 3px 0; text-align: left; } td.n { text-align: right; }
svg text { fill: var(--muted); font-size: 10px; } .bar { fill: var(--other); } .right { fill: var(--right); }
.left { fill: var(--left); } .axis { stroke: var(--muted); }
"""


def write_audit_page(path: str | Path, report: AuditReport, source: ClipSource) -> list[Path]:
    """Write the report as a page that needs no network, and a browse page of the clips that it names.

    Args:
        path: File to write, such as `audit.html`; the clips are in `audit-clips.html`, if any can be drawn.
        report: Report to show.
        source: Source of its clips.

    Returns:
        The files written.
    """
    path = Path(path)
    shown = _readable(report, source)
    clips_path = path.with_name(f"{path.stem}-clips{path.suffix}")
    written = []
    if shown:
        pages = (PageClip.from_stages(stages, metainfo=source.metainfo) for stages in shown.values())
        metadata = {"source": report.name, "clips": f"{pluralize(len(shown), 'clip')} of the audit"}
        written = write_page(clips_path, pages, title=f"{Path(report.name).name} · audit", metadata=metadata)
    text = _page(report, shown, source.metainfo, clips_path.name if written else "")
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")
    return [path, *written]


def _readable(report: AuditReport, source: ClipSource) -> dict[int, list[tuple[str, Mapping[str, Any]]]]:
    """Read the clips to show: the first of each finding, then further ones. The key is the position in the source."""
    clips = SourceClips(source)
    stages: dict[int, list[tuple[str, Mapping[str, Any]]]] = {}
    ranks = [(rank, position) for f in report.findings for rank, position in enumerate(f.clips) if f.kind != "unreadable"]
    positions = dict.fromkeys(position for _, position in sorted(ranks, key=lambda pair: pair[0]))
    links: set[str] = set()
    for position in list(positions)[:_MAX_CLIPS]:
        link = clip_link(str(report.records[position]["clip_id"]))
        if link in links:
            continue
        try:
            record, loaded = (results for _, results in clips.stages(position))
        except (KarslError, OSError):  # it has no picture; the findings name it
            continue
        links.add(link)
        stages[position] = [("LoadKeypoints", {**record, **loaded})]
    return stages


def _page(report: AuditReport, shown: Mapping[int, Any], metainfo: Mapping, clips_page: str) -> str:
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{_hash(_STYLE)}'"
    pictures = _Pictures(shown, metainfo, clips_page)
    title = f"Audit of {report.name}"
    parts = [
        "<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>",
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{escape(title)}</title>\n<link rel='icon' href='data:,'>\n<style>{_STYLE}</style>\n</head>\n<body>",
        f"<h1>{escape(title)}</h1>",
        *(f"<p class='muted'>{escape(line)}</p>" for line in list(report.statistics_lines())[:1]),
        *_summary(report),
        *_plots(report),
        *_section("Files and clips that cannot be read", report.problems),
        "<h2>Findings</h2>" if report.findings else "<h2>Nothing was found in the clips that were read</h2>",
        *(_finding(finding, report, pictures) for finding in report.findings),
        *_section("Not read", report.notes),
        "</body>\n</html>\n",
    ]
    return "\n".join(parts)


def _hash(text: str) -> str:
    return base64.b64encode(sha256(text.encode()).digest()).decode()


def _summary(report: AuditReport) -> Iterator[str]:
    problems = len(report.problems) + sum(finding.is_problem for finding in report.findings)
    notes = sum(not finding.is_problem for finding in report.findings)
    left_out = len(report.left_out())
    yield f"<p><b>{pluralize(problems, 'kind')} of problems, {pluralize(notes, 'note')}</b>; "
    yield f"{pluralize(left_out, 'clip')} should not be used, see 'karsl audit --write-exclude'.</p>"


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        items = "".join(f"<li>{escape(line)}</li>" for line in lines)
        yield f"<h2>{escape(title)}</h2>\n<ul>{items}</ul>"


class _Pictures:
    """Contact sheets of clips, as many as a page may have."""

    def __init__(self, shown: Mapping[int, Any], metainfo: Mapping, clips_page: str) -> None:
        self._shown, self._metainfo, self._clips_page = shown, metainfo, clips_page
        self._left = _PICTURES

    def link(self, position: int, clip_id: str) -> str:
        """Return the name of a clip, with a link to the browse page if the clip is there."""
        if position not in self._shown or not self._clips_page:
            return escape(clip_id)
        return f"<a href='{quote(self._clips_page)}#clip={quote(clip_link(clip_id))}'>{escape(clip_id)}</a>"

    def figures(self, finding: Finding, report: AuditReport) -> Iterator[str]:
        """Yield the pictures of the first clips of a finding."""
        for position in [p for p in finding.clips if p in self._shown][:_PICTURES_PER_FINDING]:
            if self._left == 0:
                return
            self._left -= 1
            image = clip_sheet(self._shown[position][0][1], metainfo=self._metainfo, columns=_COLUMNS)
            buffer = io.BytesIO()
            image.save(buffer, format="PNG", optimize=True)
            data = base64.b64encode(buffer.getvalue()).decode()
            clip_id = str(report.records[position]["clip_id"])
            picture = f"<img alt='frames of clip {escape(clip_id)}' src='data:image/png;base64,{data}'>"
            caption = f"<figcaption>{self.link(position, clip_id)}</figcaption>"
            yield f"<figure>{picture}{caption}</figure>"


def _finding(finding: Finding, report: AuditReport, pictures: _Pictures) -> str:
    severity = "problem" if finding.is_problem else "note"
    details = finding.details or ("",) * len(finding.clips)
    names = []
    for position, detail in zip(finding.clips[:_MAX_NAMES], details, strict=False):
        link = pictures.link(position, str(report.records[position]["clip_id"]))
        names.append(f"<li>{link}{escape(f' · {detail}') if detail else ''}</li>")
    more = len(finding.clips) - len(names)
    names += [f"<li>and {more} more, see --json</li>"] if more else []
    listed = f"<details><summary>{pluralize(len(finding.clips), 'clip')}</summary><ul>{''.join(names)}</ul></details>"
    sentence = finding.sentence or (KINDS[finding.kind].one if len(finding.clips) == 1 else KINDS[finding.kind].many)
    remedy = "" if finding.sentence else f"<p class='muted'>{escape(KINDS[finding.kind].remedy)}</p>"
    heading = sentence if finding.sentence else f"{pluralize(len(finding.clips), 'clip')} {sentence}"
    shown = "".join(pictures.figures(finding, report))
    body = f"{remedy}{listed if finding.clips else ''}{shown}"
    return f"<section class='finding {severity}'><h3>{escape(heading)}</h3>{body}</section>"


def _plots(report: AuditReport) -> Iterator[str]:
    """Yield histograms of the clips, and the shares of hands by signer."""
    figures = report.figures[report.figures["num_frames"] > 0]
    if not len(figures):
        return
    yield "<h2>Clips</h2><div class='plots'>"
    yield _histogram("frames", figures["num_frames"], "bar")
    yield _histogram("share of frames with the right hand", figures["seen"][:, 0], "right", low=0, high=1)
    yield _histogram("share of frames with the left hand", figures["seen"][:, 1], "left", low=0, high=1)
    scale = figures["scale"]
    usual = float(np.median(scale[scale > 0])) if (scale > 0).any() else 1.0
    yield _histogram("width of the shoulders, or spread of the points", scale, "bar", low=0, high=3 * usual)
    yield "</div>"
    rows = report.hand_shares()
    if rows:
        yield "<h2>Hands</h2><table><tr><th>signer</th><th>clips</th><th>right</th><th>left</th><th>at the own arm</th></tr>"
        for row in rows:
            own = "unknown" if row["own"] is None else f"{row['own']:.1%}"
            cells = (escape(str(row["signer"] or "all")), row["clips"], f"{row['right']:.0%}", f"{row['left']:.0%}", own)
            yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        yield "</table>"


def _histogram(title: str, values: np.ndarray, color: str, *, low: float | None = None, high: float | None = None) -> str:
    """Return a histogram as SVG; values beyond `high`, or the 99.5th percentile, are counted in the last bar."""
    values = values[np.isfinite(values)].astype(np.float64)
    if not len(values):
        return ""
    low = float(values.min()) if low is None else low
    high = float(np.percentile(values, 99.5)) if high is None else high
    high = high if high > low else low + 1
    counts, _ = np.histogram(values.clip(low, high), bins=_BARS, range=(low, high))
    step = _WIDTH / _BARS
    bars = []
    for number, count in enumerate(counts.tolist()):
        height = _HEIGHT * count / max(counts.max(), 1)
        at = f"x='{number * step:.1f}' y='{_HEIGHT - height:.1f}' width='{step - 1:.1f}' height='{height:.1f}'"
        bars.append(f"<rect class='{color}' {at}><title>{pluralize(count, 'clip')}</title></rect>")
    label = f"{title}: {values.min():.3g} to {values.max():.3g}, median {np.median(values):.3g}"
    axis = f"<line class='axis' x1='0' x2='{_WIDTH}' y1='{_HEIGHT}' y2='{_HEIGHT}'/>"
    y = _HEIGHT + 12
    ticks = f"<text x='0' y='{y}'>{low:.3g}</text><text x='{_WIDTH}' y='{y}' text-anchor='end'>{high:.3g}</text>"
    box = f"viewBox='0 0 {_WIDTH} {_HEIGHT + 16}' width='{_WIDTH}' height='{_HEIGHT + 16}'"
    picture = f"<svg role='img' aria-label='{escape(label)}' {box}>{''.join(bars)}{axis}{ticks}</svg>"
    return f"<figure>{picture}<figcaption>{escape(label)}</figcaption></figure>"
