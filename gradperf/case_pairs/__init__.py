"""gradperf's own cases, timed in pairs of fresh processes: for ``pair``, ``neighbours`` and ``doctor``."""
