"""Door to `karsl test`, at the place where users of OpenMMLab look for it."""

import sys

from karsl.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["test", *sys.argv[1:]]))
