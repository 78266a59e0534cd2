"""Facts about this machine. Imports nothing of gradperf but ``errors``."""
