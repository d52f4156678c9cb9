"""Entry point of `python -m karsl`, the same as `karsl`."""

import sys

from karsl.cli.main import main

sys.exit(main())
