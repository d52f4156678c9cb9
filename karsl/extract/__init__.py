"""Extraction of keypoints from videos and folders of pictures."""

from karsl.extract.base import EXTRACTORS, Extractor, make_extractor, register_extractor
from karsl.extract.holistic import HolisticExtractor
from karsl.extract.networks import fetch_networks, load_networks
from karsl.extract.run import ExtractionReport, extract_clips
from karsl.extract.videos import Video, VideoList, list_videos
from karsl.extract.wholebody import WholeBodyExtractor

__all__ = [
    "EXTRACTORS",
    "ExtractionReport",
    "Extractor",
    "HolisticExtractor",
    "Video",
    "VideoList",
    "WholeBodyExtractor",
    "extract_clips",
    "fetch_networks",
    "list_videos",
    "load_networks",
    "make_extractor",
    "register_extractor",
]
