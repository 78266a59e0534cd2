"""Two child processes that take turns: for ``gate``, ``doctor``, ``pair`` and ``neighbours``."""
