"""`python -m karsl` is `karsl`."""

import sys

from karsl.cli.main import main

sys.exit(main())
