"""What ``import gradperf`` offers to programs and notebooks: ``check``, ``pair``, ``load`` and ``explain``.

Results are text where text is shown, and a table in a notebook.
"""

from gradperf.api.checked import Checked, check
from gradperf.api.explanation import explain
from gradperf.api.loaded import LoadedRun, load
from gradperf.api.paired import Paired, pair

__all__ = ["Checked", "LoadedRun", "Paired", "check", "explain", "load", "pair"]
