"""The KArSL corpus: folder layout, SignIDs and subsets, scanning, and the formats it is distributed in."""

from karsl.discovery import import_modules
from karsl.formats.karsl.layout import SPLITS, SUBSETS, category_of, describe_layout, signs_of_subset
from karsl.formats.karsl.scan import ScanResult, scan_npz_folders

__all__ = ["SPLITS", "SUBSETS", "ScanResult", "category_of", "describe_layout", "scan_npz_folders", "signs_of_subset"]

import_modules(__name__, __path__)
