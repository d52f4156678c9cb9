"""A combinator of several datasets, and how their labels become one list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from karsl.datasets.combine.agreement import common_metainfo
from karsl.datasets.combine.combinator import Combinator
from karsl.datasets.combine.labels import union_of
from karsl.datasets.combine.relabel import RelabelDataset
from karsl.errors import ConfigError, did_you_mean, type_name

LABELS = ("same", "union", "separate")


class SeveralMembers(Combinator):
    """Datasets side by side.

    Args:
        datasets: Datasets or configs, at least one.
        labels: `'same'`: all must have the same classes. `'union'`: classes of the same name are one. `'separate'`: all
            classes stay apart, named `'0/hello'`, `'1/hello'`. A list of names: the classes to go to, by name.
        aliases: Class name of any dataset to the name to use; with `labels` other than 'same'.
        ignore_keys: Keys of metainfo that may differ; the first dataset's is taken. Others that differ are left out.
        lazy_init, seed: See Combinator.

    Raises:
        ConfigError: As Combinator; members have different classes and `labels='same'`.
    """

    def __init__(
        self,
        datasets: Iterable[Any],
        lazy_init: bool = False,
        ignore_keys: str | Sequence[str] | None = None,
        *,
        labels: str | Sequence[str] = "same",
        aliases: Mapping[str, str] | None = None,
        seed: int | None = None,
    ) -> None:
        if isinstance(labels, str) and labels not in LABELS:
            hint = did_you_mean(labels, LABELS, f"expected {', '.join(LABELS)} or a list of class names")
            raise ConfigError(f"{type_name(self)}: labels={labels!r}{hint}")
        if aliases and isinstance(labels, str) and labels == "same":
            raise ConfigError(f"{type_name(self)}: aliases without labels='union' or a list of classes do nothing")
        self._labels, self._aliases = labels, dict(aliases or {})
        self._ignore_keys = (ignore_keys,) if isinstance(ignore_keys, str) else tuple(ignore_keys or ())
        self._relabelled = False
        super().__init__(datasets, lazy_init=lazy_init, seed=seed)

    @property
    def datasets(self) -> list[Any]:
        """The members."""
        return list(self.members)

    def _prepare(self) -> None:
        if self._labels == "same":
            return
        prefixes = [f"{n}/" if self._labels == "separate" else "" for n in range(len(self.members))]
        targets = union_of(self._class_lists(prefixes), self._aliases) if isinstance(self._labels, str) else self._labels
        self.members = tuple(
            RelabelDataset(member, targets, aliases=self._aliases, prefix=prefix)
            for member, prefix in zip(self.members, prefixes, strict=True)
        )
        self._relabelled = True

    def _class_lists(self, prefixes: Sequence[str]) -> list[list[str]]:
        lists = []
        for number, (member, prefix) in enumerate(zip(self.members, prefixes, strict=True)):
            classes = (getattr(member, "metainfo", None) or {}).get("classes")
            if classes is None:
                where = f"{self.member_name(number)} ({type_name(member)})"
                raise ConfigError(f"{type_name(self)}: {where} has no 'classes' in its metainfo for labels={self._labels!r}")
            lists.append([f"{prefix}{name}" for name in classes])
        return lists

    def _combined_metainfo(self) -> dict:
        if self._labels != "same" and not self._relabelled:
            return common_metainfo(self, (*self._ignore_keys, "classes"))  # lazy: labels are not worked out yet
        return common_metainfo(self, self._ignore_keys)

    def _describe(self) -> str:
        return "" if self._labels == "same" else f"labels={self._labels!r}"
