"""The gate's process on one side: pytest itself, whose ``benchmark`` fixture takes turns on command.

``python FOLDER ORDERS ANSWERS PYTEST_ARGUMENTS…``, with the path of this folder, reads orders from one file
descriptor and writes answers to another, one line of JSON each. What tests print goes elsewhere. The first order is
one of

``{"do": "list"}``
    Collect; answer ``{"collected": [{"id", "group", "skipped", "control"}, …], "errors": […]}``, and then
    ``{"notes": […]}``: what the gate does otherwise than the options of pytest ask for.
``{"do": "time", "cases": […], "own": …, "foreign": …, "names": […]}``
    Collect; answer ``{"collected": [id, …], "errors": […]}``. Run these cases in this order. Each case waits at its
    benchmark and obeys as :mod:`gradperf.pairs.child.turns` describes. It ends with ``{"ended": id, "outcome",
    "reason", "last"}``: "passed", "failed", "skipped" or "unused" (nothing was timed), and whether the session ends
    with it. The session ends with ``{"bye": …}``: how many modules came from the folder ``own``, and which from
    ``foreign``. With ``names`` of top-level modules, also which files were imported, and where those modules are
    found. Then come the hooks of the suite at the end of a session, and ``{"finished": exit code}``.

It runs in the interpreter of its side, which needs pytest alone, from Python 3.9 on. That
interpreter may have another gradperf, or none. So these files import no ``gradperf``: :mod:`.__main__` loads them,
and :mod:`gradperf.pairs.child`, under a name of their own.
"""

SEED = "GRADPERF_GATE_SEED"
"""The variable with a seed that all processes of a pair share."""

LATE = "GRADPERF_GATE_LATE"
"""The variable with the folders to search for modules after the standard library."""
