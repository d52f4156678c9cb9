"""Stores: where clips lie, what is in them, and reading one by its locator."""

from karsl.storage.annotation import class_metainfo, write_annotation
from karsl.storage.atomic import atomic_path
from karsl.storage.cache import ArrayCache
from karsl.storage.labels import LabelSheet, find_label_sheet, read_label_sheet
from karsl.storage.npz import list_members, read_member
from karsl.storage.packed import Pack
from karsl.storage.reader import ClipReader
from karsl.storage.record import canonical_clip, split_clip

__all__ = [
    "ArrayCache",
    "ClipReader",
    "LabelSheet",
    "Pack",
    "atomic_path",
    "canonical_clip",
    "class_metainfo",
    "find_label_sheet",
    "list_members",
    "pack_clips",
    "pack_records",
    "read_label_sheet",
    "read_member",
    "split_clip",
    "write_annotation",
    "write_pack",
]


def __getattr__(name: str):
    from importlib import import_module

    modules = {"pack_clips": "writer", "pack_records": "records", "write_pack": "records"}
    if name in modules:
        return getattr(import_module(f"karsl.storage.pack.{modules[name]}"), name)
    raise AttributeError(name)
