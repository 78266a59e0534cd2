"""The pair engine: two child processes take turns, for ``gate``, ``doctor``, ``pair`` and ``neighbours``."""
