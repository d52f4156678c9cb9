"""Alias of `karsl prepare`, for OpenMMLab users."""

import sys

from karsl.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["prepare", *sys.argv[1:]]))
