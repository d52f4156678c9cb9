"""Skeletons: names, groups, bones and mirror of the keypoints of an array."""

from karsl.skeletons.catalog import describe_skeleton, get_skeleton, register_skeleton, skeleton_names
from karsl.skeletons.skeleton import Skeleton, mirror_name

__all__ = ["Skeleton", "describe_skeleton", "get_skeleton", "mirror_name", "register_skeleton", "skeleton_names"]
