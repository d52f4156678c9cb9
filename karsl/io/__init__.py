"""Stores: where clips lie, what is in them, and reading one by its locator."""

from karsl.storage.annotation import class_metainfo, write_annotation
from karsl.storage.atomic import atomic_path
from karsl.storage.cache import ArrayCache
from karsl.storage.labels import LabelSheet, find_label_sheet, read_label_sheet
from karsl.storage.npz import list_members, read_member
from karsl.storage.pack.records import pack_records, write_pack
from karsl.storage.pack.writer import pack_clips
from karsl.storage.packed import Pack
from karsl.storage.reader import ClipReader
from karsl.storage.record import canonical_clip, split_clip
from karsl.storage.scan import Scan, scan_npz_folders

__all__ = [
    "ArrayCache",
    "ClipReader",
    "LabelSheet",
    "Pack",
    "Scan",
    "atomic_path",
    "canonical_clip",
    "class_metainfo",
    "find_label_sheet",
    "list_members",
    "pack_clips",
    "pack_records",
    "read_label_sheet",
    "read_member",
    "scan_npz_folders",
    "split_clip",
    "write_annotation",
    "write_pack",
]
