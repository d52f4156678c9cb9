"""Door to `karsl browse`, at the place where users of OpenMMLab look for it."""

import sys

from karsl.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["browse", *sys.argv[1:]]))
