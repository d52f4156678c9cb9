"""Alias of `karsl test`, for OpenMMLab users."""

import sys

from karsl.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["test", *sys.argv[1:]]))
