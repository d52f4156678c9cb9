"""Door to `karsl train`, at the place where users of OpenMMLab look for it."""

import sys

from karsl.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
