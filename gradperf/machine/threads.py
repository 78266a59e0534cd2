"""Binds numerical libraries to a number of threads, by environment variables.

OpenMP and BLAS libraries read these variables once, when they are loaded. So they must be set before any of them is
imported, and importing this module imports none. Frameworks with pools of their own bind them in ``configure``.
"""

import os
import sys
from collections.abc import Mapping

from gradperf.errors import UserError

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

WAITING = {
    # Clock cycles until an idle thread sleeps, as a power of 2: from 4. The default, 28, is a tenth of a second.
    "OPENBLAS_THREAD_TIMEOUT": "4",
    # Turns of the loop in GNU's OpenMP: its own number for more threads than CPUs. The default, 300,000, is 6 ms.
    "GOMP_SPINCOUNT": "1000",
    # Milliseconds in Intel's and LLVM's OpenMP. The default is 200.
    "KMP_BLOCKTIME": "1",
}
"""How several threads wait for work: in a loop, but soon asleep. docs/threads.md has the measurements."""

_CHOICES = (
    ("OPENBLAS_THREAD_TIMEOUT",),
    ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY"),
)
"""The variables that decide it, by library. If a user has set one of them, the others are left alone."""


def bind(count: int) -> None:
    """Bind every library that is loaded from now on to ``count`` threads, then import numpy.

    How idle threads wait is set only for more than one, and only where the user did not set it.
    Raises UserError if numpy was imported before with another setting, or cannot be imported.
    """
    wanted = dict.fromkeys(VARIABLES, str(count))
    if count > 1:
        wanted |= soon_asleep(os.environ)
    late = {name: value for name, value in wanted.items() if os.environ.get(name) != value}
    if late and "numpy" in sys.modules:
        raise UserError(
            f"numpy was imported before its threads could be set to {count}, probably by a pytest plugin. "
            f"Switch that plugin off (-p no:NAME), or set the variables yourself: "
            f"{' '.join(f'{name}={value}' for name, value in late.items())}"
        )
    os.environ.update(wanted)
    try:
        import numpy  # noqa: F401 - to check that it can be imported
    except Exception as error:  # a broken installation can raise anything
        raise UserError(f"numpy cannot be imported: {type(error).__name__}: {error}") from None


def soon_asleep(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with which idle threads sleep soon; none where ``environ`` decides it."""
    open_ = {name for choice in _CHOICES if not environ.keys() & set(choice) for name in choice}
    return {name: value for name, value in WAITING.items() if name in open_}


def waiting_by_user() -> dict[str, str]:
    """Return the variables by which the user decided how idle threads wait, other than :data:`WAITING` does."""
    found = {name: os.environ[name] for choice in _CHOICES for name in choice if name in os.environ}
    return {name: value for name, value in found.items() if value != WAITING.get(name)}


def waiting() -> str:
    """Return how idle threads wait, if there are several."""
    by_user = ", ".join(f"{name}={value}" for name, value in waiting_by_user().items())
    return f"idle threads wait by {by_user}" if by_user else "idle threads soon sleep"
