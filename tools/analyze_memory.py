"""Alias of `karsl memory`, for OpenMMLab users."""

import sys

from karsl.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["memory", *sys.argv[1:]]))
