"""What runs in a child process: the channel to its parent, the warm-up, the turns.

The gate runs these files by their path, in the interpreter of either side, without gradperf. So they import the
standard library alone, and each other by relative imports. They must run on Python 3.9.
"""
