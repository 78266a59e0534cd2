"""Functions of the standard library, as they were when this module was imported.

A test may replace ``time.perf_counter``, or the whole of ``os``: freezegun, pyfakefs and monkeypatch replace
attributes of modules. The attributes of this class stay as they are.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import time
from typing import Any


def _missing(name: str) -> Any:
    def missing(*_: Any) -> Any:
        raise OSError(f"this system has no {name}")

    return staticmethod(missing)


class Original:
    """The functions, by their names. A process calls them after tests have run."""

    perf_counter = staticmethod(time.perf_counter)
    thread_time = staticmethod(time.thread_time)
    process_time = staticmethod(time.process_time)
    getrusage = staticmethod(resource.getrusage)

    gettrace, settrace = staticmethod(sys.gettrace), staticmethod(sys.settrace)
    getprofile, setprofile = staticmethod(sys.getprofile), staticmethod(sys.setprofile)
    gc_isenabled, gc_enable, gc_disable = (
        staticmethod(gc.isenabled),
        staticmethod(gc.enable),
        staticmethod(gc.disable),
    )

    getpid, exit_now = staticmethod(os.getpid), staticmethod(os._exit)
    listdir = staticmethod(os.listdir)
    sched_getaffinity: Any = getattr(os, "sched_getaffinity", _missing("sched_getaffinity"))
    sched_setaffinity: Any = getattr(os, "sched_setaffinity", _missing("sched_setaffinity"))
    setitimer = staticmethod(signal.setitimer)

    to_json, from_json = staticmethod(json.dumps), staticmethod(json.loads)
