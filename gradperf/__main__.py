"""``python -m gradperf``: the command line."""

import sys

from gradperf.commands.main import main

sys.exit(main())
