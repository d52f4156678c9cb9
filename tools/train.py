"""Alias of `karsl train`, for OpenMMLab users."""

import sys

from karsl.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
