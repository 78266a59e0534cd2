"""gradperf's own cases, timed in pairs of fresh processes by the engine in :mod:`gradperf.pairs`.

Used by ``pair``, ``neighbours`` and ``doctor``. :mod:`.worker` runs in the processes, :mod:`.measure` starts them.
"""
