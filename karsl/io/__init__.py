"""Files, bytes and clips: readers of every kind of clip, atomic output, remote files and caches."""

from karsl.io.annotations import class_metainfo, write_annotations
from karsl.io.atomic import atomic_path
from karsl.io.clip import canonical_clip, split_score
from karsl.io.labels import LabelTable, find_label_table, read_label_table
from karsl.io.lru import LRU
from karsl.io.npz import list_members, read_member
from karsl.io.pack_reader import Pack
from karsl.io.reader import ClipReader
from karsl.io.sources import ClipSource, FunctionSource

__all__ = [
    "LRU",
    "ClipReader",
    "ClipSource",
    "FunctionSource",
    "LabelTable",
    "Pack",
    "atomic_path",
    "canonical_clip",
    "class_metainfo",
    "find_label_table",
    "list_members",
    "read_label_table",
    "read_member",
    "split_score",
    "write_annotations",
]
