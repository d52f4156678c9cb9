"""Packs of clips: written by workers, resumed, verified and edited; `karsl.io.pack_reader` reads them."""

from karsl.io.pack_reader import Pack
from karsl.pack.edit import remove_clips
from karsl.pack.manifest import Manifest
from karsl.pack.verify import verify_pack
from karsl.pack.write import PackResult, pack_clips, pack_records, write_clips

__all__ = ["Manifest", "Pack", "PackResult", "pack_clips", "pack_records", "remove_clips", "verify_pack", "write_clips"]
