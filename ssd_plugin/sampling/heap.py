"""Memory that was freed but that the C library keeps: counted as this process's, and too scattered to be used again."""

import ctypes


def release() -> None:
    """Give freed pages back to the system, where the C library can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
