"""Page with examples of what karsl draws, made by its own commands from synthetic clips while the site is built."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from karsl.cli.main import main as karsl
from karsl.evaluation.scores import Scores, write_scores
from karsl.formats import open_clips
from karsl.testing import make_corpus

ROOT = Path(__file__).parents[2]
CONFIG = (ROOT / "configs" / "demo.py").as_posix()
INTRO = """# Gallery

Each example is the output of the command above it, from synthetic clips of eight signs by three signers. The build of this
site runs the commands, so the examples are those of this version. Pages are single files that need no server and no network.

"""


@dataclass(frozen=True)
class Example:
    """One example of the gallery.

    Attributes:
        title: Heading.
        text: What to look at.
        command: Command line, run in a folder with `corpus`, `faulty` and `scores.npz`.
        output: Pattern of the file to show, an `.html` page or a picture.
        guide: Page that explains the command.
    """

    title: str
    text: str
    command: str
    output: str
    guide: str


EXAMPLES = (
    Example(
        "Clips and transforms on a page",
        "Choose a clip in the list and a step of the pipeline above the drawing; the arrow keys move through the frames.",
        "karsl browse configs/demo.py --data-root corpus --format html -n 8 --augmentations 2 --output-dir browse",
        "browse/*.html",
        "howto-browse.md",
    ),
    Example(
        "Overview of a corpus",
        "One tile per clip, with the frames in which each hand was detected below it.",
        "karsl browse corpus -n 12 --output-dir overview",
        "overview/*overview*.png",
        "howto-browse.md",
    ),
    Example(
        "One sign by several signers",
        "Differences in location, speed and handedness between signers are visible at a glance.",
        "karsl browse corpus --sign 1 --per-sign 6 --output-dir sign",
        "sign/*.png",
        "howto-browse.md",
    ),
    Example(
        "A clip after each transform",
        "The stored clip is above; the last row is what a model receives.",
        "karsl browse configs/demo.py --data-root corpus --mode pipeline --index 7 --output-dir pipeline",
        "pipeline/*.png",
        "howto-browse.md",
    ),
    Example(
        "Faults of a corpus",
        "Three faults were put into this copy of the corpus: a clip twice, a clip with swapped hands, and a frozen clip.",
        "karsl audit faulty --html audit.html",
        "audit.html",
        "howto-audit.md",
    ),
    Example(
        "Report of a model",
        "The scores are invented, to show the page: a model that confuses similar signs, more so for the third signer.",
        "karsl report scores.npz --html report.html",
        "report.html",
        "howto-report.md",
    ),
)


def write_faulty(source: Path, target: Path) -> None:
    """Copy a corpus and put three faults into it."""
    shutil.copytree(source, target)
    path = sorted(target.glob("*-train/*.npz"))[0]
    with np.load(path) as archive:
        clips = {name: archive[name] for name in archive.files}
    first, second, third = list(clips)[:3]
    swapped = clips[second].copy()
    hands = slice(142, 163), slice(163, 184)
    swapped[:, hands[0]], swapped[:, hands[1]] = clips[second][:, hands[1]], clips[second][:, hands[0]]
    clips |= {"copy": clips[first], second: swapped, third: np.repeat(clips[third][:1], len(clips[third]), axis=0)}
    np.savez(path, **clips)


def invented_scores(root: Path) -> Scores:
    """Return scores of an invented model for the test clips of a corpus."""
    source = open_clips(root)
    records = [record for record in source.records if record["split"] == "test"]
    classes, labels = source.metainfo["classes"], np.array([record["label"] for record in records])
    rng = np.random.default_rng(0)
    hard = np.array([record["signer"] == "03" for record in records])
    logits = rng.normal(size=(len(records), len(classes)))
    logits[np.arange(len(records)), labels] += np.where(hard, 1.4, 3.0)
    logits[np.arange(len(records)), labels // 2 * 2] += 1.0  # pairs of similar signs
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Scores(
        scores=scores.astype(np.float32),
        clip_id=np.array([record["clip_id"] for record in records]),
        label=labels.astype(np.int64),
        signer=np.array([record["signer"] for record in records]),
        sign=np.array([record["sign"] for record in records], dtype=np.int64),
        category=np.array([""] * len(records)),
        classes=np.array([str(name) for name in classes]),
        classes_ar=np.array([""] * len(classes)),
        signs=np.arange(1, len(classes) + 1),
        checkpoint=np.array([], dtype=str),
    )


def run(command: str) -> None:
    """Run a command of karsl in this process.

    Raises:
        RuntimeError: If it failed; `karsl audit` ends with 1 if it found faults.
    """
    words = [CONFIG if word == "configs/demo.py" else word for word in shlex.split(command)][1:]
    words += ["--not-show"] if words[0] == "browse" else []
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        status = karsl(words)
    if status != (1 if words[0] == "audit" else 0):
        raise RuntimeError(f"the gallery's command {command!r} failed with status {status}:\n{printed.getvalue()}")


def part(example: Example, folder: Path) -> str:
    """Copy the output of an example to `folder`, and return its part of the page."""
    found = sorted(Path().glob(example.output))
    if not found:
        raise RuntimeError(f"the gallery's command {example.command!r} wrote no {example.output!r}")
    name = f"{example.output.partition('/')[0].partition('.')[0]}{found[0].suffix}"
    shutil.copyfile(found[0], folder / name)
    for linked in Path().glob(f"{found[0].stem}-*.html"):  # clips of an audit
        shutil.copyfile(linked, folder / linked.name)
    shown = f"![{example.title}]({name})"
    if found[0].suffix == ".html":
        frame = f'<iframe class="example" src="{name}" title="{example.title}" loading="lazy"></iframe>'
        shown = f"{frame}\n\n[Open this page]({name}){{ target=_blank }}"
    text = f"{example.text} See [the guide](../{example.guide})."
    return f"## {example.title}\n\n{text}\n\n```sh\n{example.command}\n```\n\n{shown}\n"


def write_page(folder: Path) -> None:
    """Run the commands, and write the page and its examples to `folder`."""
    folder = folder.resolve()
    folder.mkdir(parents=True)
    before = Path.cwd()
    with TemporaryDirectory() as temporary:
        os.chdir(temporary)
        try:
            make_corpus("corpus", train_clips=4, test_clips=4)
            write_faulty(Path("corpus"), Path("faulty"))
            write_scores("scores.npz", invented_scores(Path("corpus")))
            parts = []
            for example in EXAMPLES:
                run(example.command)
                parts.append(part(example, folder))
        finally:
            os.chdir(before)
    (folder / "index.md").write_text(INTRO + "\n".join(parts), encoding="utf-8")
