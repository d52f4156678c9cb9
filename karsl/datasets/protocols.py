"""Protocols: make the splits of a corpus from the fields of its records.

A split depends on the clips of the corpus, the protocol and its seed, and not on the order of the records. Clips and groups
are ordered by the xxh3 hash of their names, which is the same on every machine.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

from xxhash import xxh3_64_intdigest

from karsl.datasets.records import normalize_signer
from karsl.datasets.splits import CLIP, SESSION, Disjoint, Split, record_field
from karsl.errors import ConfigError, DataErrors, did_you_mean, pluralize
from karsl.io.annotations import record_splits

Parts = dict[str, list[str]]
_SHIPPED = ("train", "val", "test")


@dataclass(frozen=True)
class Protocol:
    """Arguments of a protocol.

    Args:
        name: A key of `PROTOCOLS`.
        by: Field that groups clips, for `leave-one-out`, `k-fold` and `random`: `'signer'`, `'session'`, another key of the
            records, or `'clip'` for no groups.
        signers: Signers whose clips are used; empty uses all.
        train, val, test: Values of the record key `split`, in other words the parts that the corpus ships, from which clips
            of the part are chosen. Empty uses the shipped part of that name where the protocol has a use for it.
        folds: Number of folds of `k-fold`.
        shots: Training clips per class of `k-shot`.
        test_share: Share of test clips of `random`.
        val_by: Field by which validation clips are separated from the training clips; None makes no validation part.
        val_share: Share of the training clips to validate on. Groups are moved until it is reached.
        seed: Seed of everything that is drawn.
        session: Regular expression that finds a session in a `clip_id`, see `record_field`.
    """

    name: str
    by: str = "signer"
    signers: tuple[str, ...] = ()
    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    folds: int = 5
    shots: int = 5
    test_share: float = 0.2
    val_by: str | None = None
    val_share: float = 0.1
    seed: int = 0
    session: str | None = None

    def __post_init__(self) -> None:
        if self.name not in PROTOCOLS:
            raise ConfigError(
                f"no protocol {self.name!r}{did_you_mean(self.name, PROTOCOLS, 'see ' + ', '.join(PROTOCOLS))}"
            )
        for key, minimum in (("folds", 2), ("shots", 1)):
            if getattr(self, key) < minimum:
                raise ConfigError(f"{key}={getattr(self, key)} of protocol {self.name!r}; expected at least {minimum}")
        for key in ("test_share", "val_share"):
            if not 0 < getattr(self, key) < 1:
                raise ConfigError(f"{key}={getattr(self, key)} of protocol {self.name!r}; expected a share between 0 and 1")
        if self.test_share + self.val_share >= 1:
            raise ConfigError(f"test_share={self.test_share} and val_share={self.val_share} leave no clip to train on")
        if self.name == "random" and self.val_by not in (None, self.by):
            raise ConfigError(
                f"protocol 'random' by {self.by} validates by {self.by}, too; leave out val_by={self.val_by!r}"
            )
        try:
            re.compile(self.session or "")
        except re.error as error:
            raise ConfigError(f"session={self.session!r} is not a regular expression: {error}") from error

    def describe(self) -> dict:
        """Return the arguments that differ from their default, and the name."""
        default = {f.name: f.default for f in fields(self)}
        return {key: value for key, value in asdict(self).items() if value != default[key]}


class _Corpus:
    """Records of a corpus by clip id, with the values of their fields."""

    def __init__(self, records: Sequence[Mapping], protocol: Protocol) -> None:
        problems = [f"record {number} has no 'clip_id'" for number, r in enumerate(records) if r.get("clip_id") is None]
        self.records: dict[str, Mapping] = {}
        self._session = None if protocol.session is None else re.compile(protocol.session)
        signers = {normalize_signer(signer) for signer in protocol.signers}
        for record in () if problems else records:
            clip = str(record["clip_id"])
            if clip in self.records:
                problems.append(f"two clips are named {clip!r}; rename one")
            if not signers or normalize_signer(record.get("signer")) in signers:
                self.records[clip] = record
        if problems:
            raise DataErrors("the clips to split", problems)
        if not self.records:
            known = ", ".join(sorted({str(r["signer"]) for r in records if r.get("signer") is not None})) or "none"
            wanted = f" of signers {', '.join(map(str, protocol.signers))}; it has {known}" if protocol.signers else ""
            raise ConfigError(f"the corpus has no clip{wanted}")
        self.shipped = {name for record in self.records.values() for name in record_splits(record)}

    def clips(self, parts: Sequence[str] = ()) -> list[str]:
        """Return the clips of some shipped parts; all clips if none is named."""
        if absent := sorted(set(parts) - self.shipped):
            known = ", ".join(sorted(self.shipped)) or "none"
            raise ConfigError(f"no clip has the split {', '.join(map(repr, absent))}; the corpus has {known}")
        wanted = set(parts)
        return sorted(clip for clip, r in self.records.items() if not wanted or wanted.intersection(record_splits(r)))

    def pool(self, parts: Sequence[str], default: str) -> list[str]:
        """Return the clips of some shipped parts; by default those of the part `default`, or all clips without one."""
        return self.clips(parts or [default] * (default in self.shipped))

    def groups(self, clips: Sequence[str], by: str) -> dict[str, list[str]]:
        """Return the clips by their value of a field, in ascending order of both."""
        values = {clip: record_field(self.records[clip], by, self._session) for clip in sorted(clips)}
        if unknown := [clip for clip, value in values.items() if value is None]:
            remedy = "describe it with session (--session REGEX)" if by == SESSION else "use another field, such as 'clip'"
            raise ConfigError(f"{pluralize(len(unknown), 'clip')} without {by}, the first {unknown[0]!r}; {remedy}")
        found: dict[str, list[str]] = defaultdict(list)
        for clip, value in values.items():
            found[str(value)].append(clip)
        return dict(sorted(found.items()))

    def by_label(self, clips: Sequence[str]) -> dict[str, list[str]]:
        """Return the clips by their label or, without one, SignID."""
        found: dict[str, list[str]] = defaultdict(list)
        for clip in sorted(clips):
            record = self.records[clip]
            found[str(record.get("label", record.get("sign")))].append(clip)
        return dict(sorted(found.items()))


def make_splits(records: Sequence[Mapping], protocol: Protocol) -> list[Split]:
    """Make the splits of a protocol, one per fold.

    Args:
        records: Records with `clip_id`, and the fields that the protocol uses.
        protocol: The protocol.

    Raises:
        ConfigError: If records lack a field of the protocol, or a part has no clip.
        DataErrors: If clips have no id or the same one.

    Example:
        >>> records = [{"clip_id": f"{signer}/{n}", "signer": signer, "label": 0} for signer in "ab" for n in range(2)]
        >>> for split in make_splits(records, Protocol("leave-one-out")):
        ...     print(split.name, split.parts)
        leave-one-out-a {'train': ('b/0', 'b/1'), 'test': ('a/0', 'a/1')}
        leave-one-out-b {'train': ('a/0', 'a/1'), 'test': ('b/0', 'b/1')}
    """
    corpus = _Corpus(records, protocol)
    splits = []
    for fold, parts in PROTOCOLS[protocol.name](corpus, protocol):
        parts, disjoint = _add_validation(corpus, protocol, parts)
        name = "-".join(filter(None, (protocol.name, fold)))
        if empty := [part for part, clips in parts.items() if not clips]:
            where = f"split {name!r} of {pluralize(len(corpus.records), 'clip')}"
            raise ConfigError(f"{where}: no clip is in {empty[0]}; {_remedy(protocol, empty[0])}")
        splits.append(Split(name, {part: tuple(clips) for part, clips in parts.items()}, disjoint, protocol.describe()))
    return splits


def _remedy(protocol: Protocol, part: str) -> str:
    """Return what to do about a part without clips."""
    if protocol.name == "random":
        return "try another seed (--seed) or share, or 'k-fold', whose parts are of about equal size"
    if part == "val" and protocol.val_by == CLIP:
        return "each class has a single training clip: add clips, or make no part val (leave out --val-by)"
    if protocol.name == "k-shot":
        return f"all are training clips: add clips, or lower shots={protocol.shots} (--shots)"
    if protocol.name == "leave-one-out":
        return f"the training clips are of a single {protocol.by}: add others, or use another field (--by) or 'k-fold'"
    return "add clips, or choose the parts by --train, --val and --test"


def _add_validation(corpus: _Corpus, protocol: Protocol, parts: Parts) -> tuple[Parts, tuple[Disjoint, ...]]:
    """Move clips from the training to the validation part, and return the parts with the fields that separate them."""
    disjoint = []
    if protocol.name in ("leave-one-out", "k-fold", "random") and protocol.by != CLIP:
        disjoint += [(protocol.by, part, "test") for part in ("train", "val")]
    if protocol.val_by is not None and protocol.name != "random":
        moved = set(_draw_share(corpus, parts["train"], protocol.val_by, protocol.val_share, protocol.seed))
        train = [clip for clip in parts["train"] if clip not in moved]
        parts = {"train": train, "val": sorted(moved), **{k: v for k, v in parts.items() if k not in ("train", "val")}}
    by = protocol.by if protocol.name == "random" else protocol.val_by
    if "val" in parts and by not in (None, CLIP):
        disjoint.append((str(by), "train", "val"))
    return parts, tuple(triple for triple in disjoint if set(triple[1:]) <= set(parts))


def _draw_share(corpus: _Corpus, clips: Sequence[str], by: str, share: float, seed: int) -> Iterator[str]:
    """Yield entire groups until a share of the clips is reached, but not the last group; single clips for each class."""
    if by == CLIP:
        for members in corpus.by_label(clips).values():
            count = min(max(round(share * len(members)), 1), len(members) - 1)
            yield from _shuffled(members, seed)[:count]
        return
    groups = corpus.groups(clips, by)
    if len(groups) < 2:
        found = f"a single {by}, {next(iter(groups), None)!r}"
        raise ConfigError(f"the training clips have {found}; validate by another field, such as 'clip' (--val-by)")
    drawn = 0
    for value in _shuffled(list(groups), seed)[:-1]:
        yield from groups[value]
        drawn += len(groups[value])
        if drawn >= share * len(clips):
            return


def _position(name: str, seed: int) -> float:
    """Return the position of a name in [0, 1)."""
    return xxh3_64_intdigest(f"{seed}\0{name}".encode()) / 2**64


def _shuffled(names: Sequence[str], seed: int) -> list[str]:
    return sorted(names, key=lambda name: (_position(name, seed), name))


def _shipped(corpus: _Corpus, protocol: Protocol) -> Iterator[tuple[str, Parts]]:
    """Yield the parts that the corpus ships; for KArSL, those of the signer-dependent protocol."""
    named = {part: getattr(protocol, part) or (part,) * (part in corpus.shipped) for part in _SHIPPED}
    if not named["train"] or not named["test"]:
        known = f"its records have {', '.join(sorted(corpus.shipped))}" if corpus.shipped else "its records have no split"
        raise ConfigError(f"the corpus ships no parts train and test: {known}; name them (--train, --test), or use 'random'")
    yield "", {part: corpus.clips(names) for part, names in named.items() if names}


def _leave_one_out(corpus: _Corpus, protocol: Protocol) -> Iterator[tuple[str, Parts]]:
    """Yield a fold per group: all clips of the group to test on, the training clips of the others."""
    groups = corpus.groups(corpus.clips(protocol.test), protocol.by)
    train = corpus.groups(corpus.pool(protocol.train, "train"), protocol.by)
    for value, clips in groups.items():
        rest = [clip for other, members in train.items() if other != value for clip in members]
        yield re.sub(r"[^\w.-]+", "_", value), {"train": sorted(rest), "test": clips}


def _k_fold(corpus: _Corpus, protocol: Protocol) -> Iterator[tuple[str, Parts]]:
    """Yield folds of about equal size; each clip is tested in one of them."""
    clips = corpus.clips(protocol.train)
    groups = {clip: [clip] for clip in clips} if protocol.by == CLIP else corpus.groups(clips, protocol.by)
    if len(groups) < protocol.folds:
        wanted = pluralize(protocol.folds, "fold")
        lower = f"lower folds to {len(groups)} (--folds)" if len(groups) > 1 else "add clips"
        other = "" if protocol.by == CLIP else " or use another field, such as 'clip' (--by)"
        raise ConfigError(f"{wanted} of {pluralize(len(groups), protocol.by)}; {lower}{other}")
    folds: list[list[str]] = [[] for _ in range(protocol.folds)]
    if protocol.by == CLIP:  # one clip of a class per fold in turn
        ordered = [clip for members in corpus.by_label(clips).values() for clip in _shuffled(members, protocol.seed)]
        for number, clip in enumerate(ordered):
            folds[number % protocol.folds].append(clip)
    else:
        order = {value: rank for rank, value in enumerate(_shuffled(list(groups), protocol.seed))}
        for value in sorted(groups, key=lambda value: (-len(groups[value]), order[value])):
            min(folds, key=len).extend(groups[value])
    for number, test in enumerate(folds, 1):
        chosen = set(test)
        yield str(number), {"train": [clip for clip in clips if clip not in chosen], "test": sorted(test)}


def _k_shot(corpus: _Corpus, protocol: Protocol) -> Iterator[tuple[str, Parts]]:
    """Yield a few training clips per class; the test clips are those of the shipped test part, or all others."""
    train, problems = [], []
    pool = corpus.by_label(corpus.pool(protocol.train, "train"))
    for label, members in pool.items():
        if len(members) < protocol.shots:
            problems.append(
                f"class {label} has {pluralize(len(members), 'training clip')}, fewer than shots={protocol.shots}"
            )
        train += _shuffled(members, protocol.seed)[: protocol.shots]
    if problems:
        raise DataErrors("the clips to split", problems, "lower shots (--shots), add clips, or leave out these classes")
    chosen = set(train)
    yield str(protocol.shots), {"train": train, "test": [c for c in corpus.pool(protocol.test, "test") if c not in chosen]}


def _random(corpus: _Corpus, protocol: Protocol) -> Iterator[tuple[str, Parts]]:
    """Yield parts in which each group is by the hash of its name alone, so that it stays there when a corpus grows."""
    parts: Parts = {"train": [], "val": [], "test": []}
    val_share = 0 if protocol.val_by is None else protocol.val_share
    for value, clips in corpus.groups(corpus.clips(protocol.train), protocol.by).items():
        position = _position(value, protocol.seed)
        in_rest = "val" if position < protocol.test_share + val_share else "train"
        parts["test" if position < protocol.test_share else in_rest] += clips
    yield "", {part: clips for part, clips in parts.items() if part != "val" or val_share}


PROTOCOLS: dict[str, Callable[[_Corpus, Protocol], Iterator[tuple[str, Parts]]]] = {
    "shipped": _shipped,
    "leave-one-out": _leave_one_out,
    "k-fold": _k_fold,
    "k-shot": _k_shot,
    "random": _random,
}
"""Protocols by name."""
