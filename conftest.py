"""Loads the suite's pytest plugin.

Threads must be bound before numpy is imported, and ``pytest-benchmark compare`` loads this file too. So neither
this file nor what the plugin imports at the top may import numpy or a framework.
"""

import os

# With `pytest -n`, what the tests start would take itself for a worker of pytest-xdist, and time nothing.
os.environ.pop("PYTEST_XDIST_WORKER", None)

pytest_plugins = ["gradperf.suite.plugin"]
