"""Dataset card of a pack or other export, `README.md` as the Hugging Face hub shows it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from karsl.errors import pluralize
from karsl.io.annotations import parse_annotations, record_splits
from karsl.io.atomic import atomic_path
from karsl.io.pack_reader import ANNOTATIONS
from karsl.pack.manifest import Manifest
from karsl.skeletons import get_skeleton

CARD = "README.md"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
FEATURES = {
    "clip_id": "name of the clip",
    "label": "class, index into `classes` of the metainfo",
    "sign": "SignID",
    "signer": "signer",
    "session": "recording session",
    "split": "part that the corpus ships the clip in, or a list of parts",
    "num_frames": "number of frames",
    "fps": "frames per second",
}
"""Content of the keys of records."""


def write_card(pack: Path) -> Path | None:
    """Write the card of a pack, with its content, splits, skeleton, and license and citation to fill in.

    Returns:
        Its path; None if the pack has one already, which someone may have filled in.
    """
    path = pack / CARD
    if path.exists():
        return None
    metainfo, records = parse_annotations(pack / ANNOTATIONS)
    manifest = Manifest.read(pack)
    with atomic_path(path) as temp:
        temp.write_text(_card(pack.resolve().name, metainfo, records, manifest), encoding="utf-8")
    return path


def _card(name: str, metainfo: dict, records: list[dict], manifest: Manifest) -> str:
    skeleton = get_skeleton(metainfo["skeleton"])
    array = f"{manifest.dtype} (frames, {skeleton.num_keypoints}, 4): x, y, z, score; score 0 is a missing point"
    use = f'from karsl.datasets import KeypointDataset\n\ndataset = KeypointDataset("{ANNOTATIONS}", data_root="{name}")'
    return card_text(name, metainfo, records, features={**FEATURES, "array": array}, use=use)


def card_text(
    name: str,
    metainfo: dict,
    records: Sequence[dict],
    *,
    features: dict[str, str],
    use: str,
    head: dict[str, Any] | None = None,
) -> str:
    """Return the text of a card, with license and citation to fill in.

    Args:
        name: Title if the metainfo has no `dataset_name`.
        metainfo, records: Those of the corpus.
        features: Content of each feature; those that are keys of records are left out if no record has the key.
        use: Python code that loads the data.
        head: Further entries of the metadata block.
    """
    title = str(metainfo.get("dataset_name", name))
    skeleton = get_skeleton(metainfo["skeleton"])
    size = next((text for limit, text in _SIZES if len(records) < limit), "n>1M")
    block = {
        "license": "other",
        "pretty_name": title,
        "size_categories": [size],
        "tags": ["sign-language", "keypoints", "karsl"],
        **(head or {}),
    }
    groups = ", ".join(f"{group} {len(names)}" for group, names in skeleton.parts)
    present = [
        (key, text)
        for key, text in features.items()
        if key not in FEATURES or any(record.get(key) is not None for record in records)
    ]
    lines = ["---", *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in block.items()), "---"]
    lines += ["", f"# {title}"]
    lines += ["", "*Describe the corpus: language, signers, how it was recorded, how keypoints were found.*"]
    lines += ["", "## Content", "", *_content(metainfo, records), "", "## Splits", "", *_splits(records)]
    lines += ["", "## Features", "", "| feature | content |", "| --- | --- |"]
    lines += [f"| `{key}` | {text} |" for key, text in present]
    lines += ["", "## Skeleton", "", f"`{skeleton.name}`, {skeleton.num_keypoints} points in this order: {groups}."]
    lines += [f"`karsl skeletons {skeleton.name}` prints their names."] if isinstance(metainfo["skeleton"], str) else []
    lines += ["", "## Use", "", "```python", use, "```", "", "## License and citation", ""]
    lines += ["*Fill in the license, here and at the top, and the publication to cite.*", ""]
    return "\n".join(lines)


def _content(metainfo: dict, records: Sequence[dict]) -> list[str]:
    lengths = [record["num_frames"] for record in records]
    signers = sorted({str(record["signer"]) for record in records if record.get("signer") is not None})
    lines = (
        [f"- {pluralize(len(records), 'clip')} of {min(lengths)} to {pluralize(max(lengths), 'frame')}"]
        if lengths
        else ["- no clips"]
    )
    lines += [f"- {pluralize(len(metainfo['classes']), 'class')}"] if metainfo.get("classes") else []
    return lines + ([f"- {pluralize(len(signers), 'signer')}: {', '.join(signers)}"] if signers else [])


def _splits(records: Sequence[dict]) -> list[str]:
    counts: Counter[str] = Counter()
    signers: defaultdict[str, set[Any]] = defaultdict(set)
    for record in records:
        for split in record_splits(record):
            counts[split] += 1
            signers[split].add(record.get("signer"))
    if not counts:
        return ["The corpus ships no parts; `karsl splits make` makes some."]
    rows = [f"| {split} | {count} | {len(signers[split] - {None})} |" for split, count in sorted(counts.items())]
    return ["| split | clips | signers |", "| --- | --- | --- |", *rows]
