"""Alias of `karsl browse`, for OpenMMLab users."""

import sys

from karsl.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["browse", *sys.argv[1:]]))
