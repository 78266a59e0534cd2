"""The command line: one file for each command, with its options and the function that runs it.

A command's options are read before its threads are bound, so these files import numpy, pytest and whatever imports
them only inside functions.
"""

import argparse
from collections.abc import Callable

AddParser = Callable[..., argparse.ArgumentParser]
"""argparse's ``add_parser(name, help=…)``, which adds a command."""
