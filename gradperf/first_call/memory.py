"""The memory of this process: how much it grew, and which pages it has before a fork.

Resident bytes count as the system counts them: a page of a library counts once it was touched.
"""

import ctypes
import gc
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

# Of <linux/mman.h>; Linux 5.14 and later.
_MADV_POPULATE_READ = 22
_MADV_POPULATE_WRITE = 23

_PRESENT, _OF_FILE = 63, 61
"""Bits of an entry of /proc/self/pagemap."""


@dataclass(frozen=True)
class Range:
    """Pages that are next to each other."""

    start: int
    size_bytes: int
    written: bool
    """Whether this process wrote to them; otherwise they are pages of a file."""


def growth() -> Callable[[], int]:
    """Return a function that returns by how many bytes this process has grown, at most, since this call.

    Linux can reset the peak. Elsewhere growth up to an earlier peak, that of the imports, is missed.
    """
    _free()
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before_bytes = _status_bytes("VmRSS")
    except OSError:
        import resource

        unit_bytes = 1 if sys.platform == "darwin" else 1024

        def highest_bytes() -> int:
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes

        before_bytes = highest_bytes()
        return lambda: highest_bytes() - before_bytes
    return lambda: max(0, _status_bytes("VmHWM") - before_bytes)


def _free() -> None:
    """Return freed memory to the system, if the C library can, so that its next use counts as growth.

    What survived a collection before, such as the imports, is not looked at: in TensorFlow that takes 0.2 s.
    """
    gc.collect(1)
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _status_bytes(name: str) -> int:
    """Return one line of /proc/self/status, which counts in KiB, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


@cache
def touched() -> list[Range]:
    """Return the pages that this process had at the first call; none if the system does not report them."""
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    found: list[Range] = []
    try:
        with open("/proc/self/pagemap", "rb") as pagemap:
            for line in Path("/proc/self/maps").read_text().splitlines():
                span, permissions, *rest = line.split(maxsplit=5)
                # Without the kernel's own pages, [vdso] and [vvar].
                if permissions[0] != "r" or (len(rest) == 4 and rest[3].startswith("[v")):
                    continue
                start, end = (int(address, 16) for address in span.split("-"))
                pagemap.seek(start // page_bytes * 8)
                entries = np.frombuffer(pagemap.read((end - start) // page_bytes * 8), np.uint64)
                present, of_file = ((entries >> np.uint64(bit)) & np.uint64(1) for bit in (_PRESENT, _OF_FILE))
                kinds = present * (1 + of_file)  # 0: absent, 1: written, 2: of a file
                edges = [0, *(np.flatnonzero(np.diff(kinds)) + 1).tolist(), len(kinds)]
                found += [
                    Range(start + first * page_bytes, (last - first) * page_bytes, bool(kinds[first] == 1))
                    for first, last in pairwise(edges)
                    if first < last and kinds[first] and (kinds[first] == 2 or permissions[1] == "w")
                ]
    except OSError:
        return []
    return found


def touch(ranges: list[Range]) -> None:
    """Load, in this fork, the pages that its parent had.

    A fork gets each page at its first use: pages of libraries are mapped again, written pages are copied. In a new
    interpreter both happen during the imports. Without this the first call of TensorFlow took a third longer, and
    JAX seemed to need 40 MB more. If Linux cannot do it, nothing happens.
    """
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for pages in ranges:
        advise(pages.start, pages.size_bytes, _MADV_POPULATE_WRITE if pages.written else _MADV_POPULATE_READ)
