"""Binds numerical libraries to a number of threads, by environment variables.

OpenMP and BLAS libraries read these variables once, when they are loaded. So they must be set before any of them is
imported, and importing this module imports none. Frameworks with pools of their own bind them in ``configure``.
"""

import os
import sys

from gradperf.errors import UserError

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def bind(count: int) -> None:
    """Bind every library that is loaded from now on to ``count`` threads, then import numpy.

    Raises UserError if numpy was imported before with another setting, or cannot be imported.
    """
    wanted = str(count)
    late = [name for name in VARIABLES if os.environ.get(name) != wanted]
    if late and "numpy" in sys.modules:
        raise UserError(
            f"numpy was imported before its threads could be set to {count}, probably by a pytest plugin. "
            f"Switch that plugin off (-p no:NAME), or set the variables yourself: "
            f"{' '.join(f'{name}={wanted}' for name in late)}"
        )
    os.environ.update(dict.fromkeys(VARIABLES, wanted))
    try:
        import numpy  # noqa: F401 - to check that it can be imported
    except Exception as error:  # a broken installation can raise anything
        raise UserError(f"numpy cannot be imported: {type(error).__name__}: {error}") from None
