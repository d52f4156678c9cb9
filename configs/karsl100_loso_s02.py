"""KArSL-100, leave one signer out: signer 02 is the one. See karsl100_loso.py."""

from mmengine.config import read_base

with read_base():
    from .karsl100_loso import *
