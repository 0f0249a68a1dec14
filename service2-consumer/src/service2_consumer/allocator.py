"""Keeps the resident set near what is in use, where the C library is glibc."""

import ctypes

# https://www.gnu.org/software/libc/manual/html_node/Malloc-Tunable-Parameters.html
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def keep_small() -> None:
    """Give large blocks back when they are freed, and let threads share arenas.

    By default glibc raises the threshold with the first large body it sees, keeps such blocks for reuse, and does so
    in an arena for each of dozens of threads: with e-mails of 1 MiB that is several times what they need.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 128 * 1024)
        mallopt(_M_ARENA_MAX, 2)
