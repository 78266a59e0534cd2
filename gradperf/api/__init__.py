"""What ``import gradperf`` offers to programs and notebooks: ``check``, ``bench``, ``pair``, ``load``, ``explain``.

Results are text where text is shown, and a table in a notebook.
"""

from gradperf.api.benched import Benched, bench
from gradperf.api.checked import Checked, check
from gradperf.api.explanation import explain
from gradperf.api.loaded import LoadedRun, load
from gradperf.api.paired import Paired, pair

__all__ = ["Benched", "Checked", "LoadedRun", "Paired", "bench", "check", "explain", "load", "pair"]
