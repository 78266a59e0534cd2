"""Facts about this machine. Imports nothing of gradperf but ``errors``.

A fact that cannot be read is None: nothing here raises because a file, a tool or a system call is missing.
"""
