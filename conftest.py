"""Loads the suite's pytest plugin.

Threads must be bound before numpy is imported, and ``pytest-benchmark compare`` loads this file too. So neither
this file nor what the plugin imports at the top may import numpy or a framework.
"""

pytest_plugins = ["gradperf.suite.plugin"]
