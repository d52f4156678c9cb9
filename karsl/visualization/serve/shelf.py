"""What a server gives out: the page, the list, and one clip at a time, each as finished bytes."""

from __future__ import annotations

import gzip
import json
from collections import OrderedDict
from dataclasses import replace
from functools import cached_property, partial
from threading import Lock
from typing import Any

import numpy as np

from karsl.errors import ConfigError
from karsl.visualization.clips.catalogue import Catalogue, ClipFilter
from karsl.visualization.clips.choice import shown_stages
from karsl.visualization.page import clip_facts, clip_link, encode_clip, encode_index, index_row, page_html
from karsl.visualization.page.gallery import page_clip, source_facts, unique_link
from karsl.visualization.page.rows import text_codes
from karsl.visualization.serve.presence import hands_seen

_KEPT = 32  # clips, of some 50 KB each


class Shelf:
    """Clips of a dataset by the links that the page knows. May be asked by many threads; one clip is made at a time.

    Args:
        dataset: As for `find_clip`.
        source: Its name, for the page.
        keep: What may be shown.
        indices: Only these clips of the dataset.
        sort: Order of the list.
        mode, draws, seed: As for `shown_stages`.

    Raises:
        ConfigError: Nothing is left, or the dataset cannot be looked at clip by clip.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        source: str = "clips",
        keep: ClipFilter | None = None,
        indices: tuple[int, ...] = (),
        sort: str = "index",
        mode: str = "pipeline",
        draws: int = 1,
        seed: int | None = None,
    ) -> None:
        self._catalogue, keep = Catalogue(dataset, indices), keep or ClipFilter()
        self._rows = self._catalogue.order(self._catalogue.rows(keep), sort)
        if not len(self._rows):
            raise ConfigError(f"no clip of {keep} among {self._catalogue.summary()}")
        self._stages = partial(shown_stages, mode=mode, draws=draws, seed=seed)
        self._title, self._facts = source, dict(source_facts(source, dataset, shown=len(self._rows)))
        self._links = self._by_link()
        self._made: OrderedDict[str, bytes] = OrderedDict()
        self._lock, self._index_lock = Lock(), Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, link: str) -> bool:
        return link in self._links

    @property
    def links(self) -> tuple[str, ...]:
        """Of all clips, in the order of the list."""
        return tuple(self._links)

    @cached_property
    def page(self) -> bytes:
        """The page, without clips."""
        return page_html(title=self._title, facts=self._facts, server_url="").encode()

    @property
    def index_gz(self) -> bytes:
        """The list of all clips, JSON, gzipped; made once."""
        with self._index_lock:
            return self._packed_index

    @cached_property
    def _packed_index(self) -> bytes:
        text = json.dumps(self._index(), ensure_ascii=False, separators=(",", ":"))
        return gzip.compress(text.encode(), compresslevel=3, mtime=0)

    def clip(self, link: str) -> bytes:
        """One clip, JSON.

        Raises:
            KeyError: There is no such link.
            KarslError: The clip cannot be read.
        """
        row = self._links[link]
        with self._lock:  # steps of one's own draw from generators that are the process's
            if link not in self._made:
                place = self._catalogue.place(row)
                stages, draws = self._stages(place)
                payload = encode_clip(replace(page_clip(place, stages, draws), link=link))
                self._made[link] = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
            self._made.move_to_end(link)
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
            return self._made[link]

    def _by_link(self) -> dict[str, int]:
        taken: dict[str, int] = {}
        ids = self._catalogue.clip_ids
        return {unique_link(clip_link(ids[row]), taken): row for row in self._rows.tolist()}

    def _index(self) -> dict[str, Any]:
        """What `encode_index` gives for a row a clip; what clips of one class, signer and split share is made once."""
        catalogue, rows = self._catalogue, self._rows
        first, kind = catalogue.kinds(rows)
        shared = [index_row(clip_facts(*catalogue.facts(int(row))), 0) for row in rows[first]]
        own: dict[str, list] = {
            "id": [catalogue.clip_ids[row] for row in rows.tolist()],
            "link": list(self._links),
            "frames": np.maximum(catalogue.num_frames[rows], 0).tolist(),
        }
        hands = hands_seen(catalogue, rows)
        if any(hands):
            own["hands"] = hands
        columns: dict[str, Any] = {}
        for name in encode_index(shared)["columns"] | own:
            columns[name] = own[name] if name in own else _spread([row[name] for row in shared], kind)
        return {"count": len(rows), "columns": columns}


def _spread(values: list[Any], kind: np.ndarray) -> Any:
    """A column of values that are the same for all clips of a kind: texts are written once, numbers at each place."""
    if not all(isinstance(value, str) for value in values):
        return [values[k] for k in kind.tolist()]
    texts, codes = text_codes(values)
    return {"values": texts, "codes": np.array(codes)[kind].tolist()}
