"""The time of a step, measured so that it can be compared: in short calls, by their fast end, at several moments.

A call of a millisecond often fits between two interruptions by other work, a call of ten never does: then even the
fastest of many is a disturbed one. A whole minute may be slow too, so one moment is not enough, and a process has a
speed of its own, so one process is not. ``docs/measuring.md`` has the experiments.
"""
