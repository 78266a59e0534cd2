"""The number of threads is one for all: bound by environment before any numerical library is imported.

OpenMP and BLAS libraries read these variables when they are loaded and never again, so :func:`bind` refuses to
pretend when numpy is there already. Frameworks with pools of their own bind them in their ``configure``.
Importing this module imports no numerical library.
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
    """Bind every library loaded from now on to ``count`` threads.

    Numpy is then imported, as nothing works without it. Raises UserError when it was imported before, under
    another setting, or when it cannot be imported.
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
        import numpy  # noqa: F401 - to see whether it can be
    except Exception as error:  # a broken installation can raise anything
        raise UserError(f"numpy cannot be imported: {type(error).__name__}: {error}") from None
