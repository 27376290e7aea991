"""What bodies took is given back to the system once they are gone."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from acceptfirst_collector.memory import release_free_memory

#: Frees 200 MB between small things that stay, so that the C library keeps the pages; prints what was in use, in KiB.
FRAGMENTS = """
import ctypes, pathlib
from acceptfirst_collector.memory import release_free_memory
def resident():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
library = ctypes.CDLL(None)
library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
pieces = []
for number in range(4000):
    large, small = library.malloc(50_000), library.malloc(16)
    ctypes.memset(large, 1, 50_000)
    pieces.append(large)
for piece in pieces:
    library.free(piece)
before = resident()
release_free_memory()
print(before, resident())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library has no malloc_trim")
def test_release_gives_back_what_the_c_library_kept() -> None:
    """In a process of its own, whose heap is known."""
    told = subprocess.run([sys.executable, "-c", FRAGMENTS], capture_output=True, text=True, check=True)
    before_kib, after_kib = map(int, told.stdout.split())
    assert before_kib - after_kib > 100_000


def test_release_does_nothing_when_the_c_library_can_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every system has glibc."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    release_free_memory()
