"""``python -m gradperf``: the command line."""

import sys

from gradperf.cli import main

sys.exit(main())
