"""Holds back what TensorFlow's C++ library writes when it is imported or profiles, whatever its log level."""

import os
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def quietly() -> Generator[None]:
    """Hold back what is written to descriptor 2 meanwhile; write it after all if an exception is raised."""
    sys.stderr.flush()
    try:
        shown = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(shown, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)
