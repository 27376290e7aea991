"""Gives memory back that the C library keeps: bodies come and go, and its arenas hold on to what they freed."""

from __future__ import annotations

import ctypes


def release_free_memory() -> None:
    """Return free pages to the system, where the C library can (glibc; 15 ms after a load, next to nothing without)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
