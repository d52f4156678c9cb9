"""A sample that is not made yet: a batch of them is finished in one pass, and any other reader sees an ordinary dict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from karsl.errors import ConfigError, KarslError

if TYPE_CHECKING:
    from karsl.datasets.stream.dataset import StreamDataset


class SampleGroup:
    """Samples that follow one another in a stream, and are made together.

    Args:
        stream: Makes them.
        places: int64 (N,), of the clips.
        whole: They are one batch, and a loader that cuts them otherwise has another batch size than the stream was told.
    """

    __slots__ = ("_made", "places", "stream", "whole")

    def __init__(self, stream: StreamDataset, places: np.ndarray, *, whole: bool) -> None:
        self.stream, self.places, self.whole = stream, places, whole
        self._made: Sequence[Any] | None = None

    def sample(self, at: int) -> dict:
        """The sample of a place, made with the others of the group."""
        if self._made is None:
            try:
                made = self.stream.batch(self.places)
                self._made = [made[n] for n in range(len(made))]
            except (KarslError, OSError):  # of one of them: each says its own when it is asked for
                return self.stream.batch(self.places[at : at + 1])[0]
        return self._made[at]


class StreamSample(dict):
    """A dict that is filled when it is first looked at.

    `keypoint_collate` never looks: it takes the batch from `gathered`.
    """

    __slots__ = ("_at", "_group")
    _group: SampleGroup | None
    _at: int

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Collates that make a batch of a sample's own type get a plain dict."""
        return dict.__new__(cls) if len(args) == 2 and isinstance(args[0], SampleGroup) else dict(*args, **kwargs)

    def __init__(self, group: SampleGroup, at: int) -> None:
        self._group, self._at = group, at

    @staticmethod
    def gathered(samples: Sequence[StreamSample]) -> Sequence[Any]:
        """The samples of a batch, to be made in one pass.

        Raises:
            ConfigError: The loader's batches are not those of the stream.
        """
        runs: list[tuple[SampleGroup, list[int]]] = []
        for sample in samples:
            group = sample._group
            if group is None:  # it was looked at before
                return [dict(s) for s in samples]
            if not runs or runs[-1][0] is not group:
                runs.append((group, []))
            runs[-1][1].append(sample._at)
        first = runs[0][0]
        if first.whole and (len(runs) > 1 or len(samples) != len(first.places)):
            raise ConfigError(
                f"batches of {len(samples)} clips from a stream that was told batch_size={first.stream.batch_size}; give "
                "StreamDataset the batch size of its loader, so that batches do not depend on the number of workers"
            )
        places = [group.places[rows] for group, rows in runs]
        return first.stream.batch(np.concatenate(places) if len(places) > 1 else places[0])

    def _fill(self) -> StreamSample:
        if self._group is not None:
            made = self._group.sample(self._at)
            self._group = None
            dict.update(self, made)
        return self

    def __reduce_ex__(self, protocol: Any) -> tuple:
        return dict, (dict(self),)

    def __iter__(self) -> Iterator:
        return dict.__iter__(self._fill())


def _filled(name: str) -> Callable:
    plain = getattr(dict, name)

    def method(self: StreamSample, *args: Any, **kwargs: Any) -> Any:
        return plain(self._fill(), *args, **kwargs)

    method.__name__, method.__doc__ = name, plain.__doc__
    return method


for _name in (
    *("__getitem__", "__setitem__", "__delitem__", "__contains__", "__len__", "__repr__", "__eq__", "__ne__", "__or__"),
    *("__ror__", "__ior__", "__reversed__", "keys", "values", "items", "get", "pop", "popitem", "setdefault", "update"),
    *("copy", "clear"),
):
    setattr(StreamSample, _name, _filled(_name))
