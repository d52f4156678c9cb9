"""Labels by class name, so that several corpora can be one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from karsl.datasets.combine.labels import SetLabels, name_labels, union_of
from karsl.datasets.combine.one import OneMember
from karsl.errors import ConfigError, type_name
from karsl.registry import DATASETS


@DATASETS.register_module()
class RelabelDataset(OneMember):
    """A dataset whose labels are places in another list of classes; the clips are the same.

    Args:
        dataset: Dataset or config.
        classes: Names of classes to go to; None keeps the dataset's, with `aliases` put in.
        aliases: Class name of the dataset to the name it has in `classes`.
        prefix: Put before the names of the dataset's classes first.
        lazy_init, seed: See Combinator.

    Raises:
        ConfigError: A class of the dataset is not among `classes`, or the dataset has no `classes`.
    """

    def __init__(
        self,
        dataset: Any,
        classes: Sequence[str] | None = None,
        *,
        aliases: Mapping[str, str] | None = None,
        prefix: str = "",
        lazy_init: bool = False,
        seed: int | None = None,
    ) -> None:
        self._classes, self._aliases, self._prefix = classes, dict(aliases or {}), prefix
        super().__init__(dataset, lazy_init=lazy_init, seed=seed)

    takes_empty = True

    @property
    def meant_empty(self) -> bool:
        """Whether the dataset was asked to be empty."""
        return getattr(self.dataset, "meant_empty", False)

    def _prepare(self) -> None:
        own, targets = self._own_classes(), self._targets()
        lookup = name_labels(own, targets, self._aliases, where=f"{type_name(self)}: dataset ({type_name(self.dataset)})")
        self._set_labels = SetLabels(lookup)
        self.steps = (self._set_labels,)

    def _own_classes(self) -> list[str]:
        classes = (getattr(self.dataset, "metainfo", None) or {}).get("classes")
        if classes is None:
            raise ConfigError(
                f"{type_name(self)}: {type_name(self.dataset)} has no 'classes' in its metainfo to go by; give metainfo"
            )
        return [f"{self._prefix}{name}" for name in classes]

    def _targets(self) -> tuple[str, ...]:
        return union_of([self._own_classes()], self._aliases) if self._classes is None else tuple(self._classes)

    def _combined_metainfo(self) -> dict:
        """The dataset's, with the new classes; what is listed by class is sorted anew, or dropped where it has gaps."""
        info = super()._combined_metainfo()
        if not self.steps:
            return info
        targets, lookup = self._targets(), self._set_labels.lookup
        for key in ("classes_ar", "signs"):
            found = dict(zip(lookup.tolist(), info.pop(key, ()), strict=False))
            if len(found) == len(targets):
                info[key] = tuple(found[number] for number in range(len(targets)))
        return info | {"classes": targets}

    def _describe(self) -> str:
        return f"classes={len(self._targets())}" if self._fully_initialized else "classes=?"
