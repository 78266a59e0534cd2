"""Names the suite's plugin.

``pytest-benchmark compare`` loads this file too, and threads must be bound before numpy is imported: nothing here,
nor in what the plugin imports at once, may import numpy or a framework.
"""

pytest_plugins = ["gradperf.suite.plugin"]
