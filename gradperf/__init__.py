"""gradperf: what does this gradient cost, is it right, and did my change make it slower?

A *problem* says what is computed, a *style* how, and a *case* is one problem in one style on one device in one
dtype. Importing this package imports neither numpy nor any framework.

Public are the commands with their options and exit codes, the schemas of the records, the pytest marker ``gate``,
the environment variable ``GRADPERF_GATE`` and :mod:`gradperf.stage`, which reads it. Everything else may
change in any version.
"""

__version__ = "0.1.0"
