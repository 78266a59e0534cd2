"""Where the time of a step goes: for each line of a hand-written style, for each operator of the others.

``measure`` takes the time with and without the profiler in turns, ``attribution`` turns what a framework's profiler
recorded into rows, ``facts`` are the result, ``table`` shows it, and ``output`` writes it.
"""
