"""Stores: where clips lie, what is in them, and reading one by its locator."""

from karsl.storage.annotation import class_metainfo, write_annotation
from karsl.storage.atomic import atomic_path
from karsl.storage.cache import ArrayCache
from karsl.storage.index import Scan, scan_npz_folders
from karsl.storage.labels import LabelSheet, find_label_sheet, read_label_sheet
from karsl.storage.npz import list_members, read_member
from karsl.storage.record import split_channels

__all__ = [
    "ArrayCache",
    "LabelSheet",
    "Scan",
    "atomic_path",
    "class_metainfo",
    "find_label_sheet",
    "list_members",
    "read_label_sheet",
    "read_member",
    "scan_npz_folders",
    "split_channels",
    "write_annotation",
]
