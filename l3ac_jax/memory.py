"""Memory that is freed stays with the process, instead of going back to the system each time.

XLA allocates its buffers on a CPU anew for every run of a program, gigabytes for a training step,
and the system clears each page that is touched for the first time. With the memory kept, the
network's forward and backward pass took 1.0 instead of 1.4 s on a virtual machine (3kbps, 2 clips
of 2 s, 300,000 page faults a step and then none). The first few runs are as slow as before: until
the buffers have found their places in the heap, it grows.
"""

import ctypes
import sys

# Parameters of glibc's mallopt.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


def keep_freed_memory() -> bool:
    """Ask glibc to keep what is freed; False where the C library is another one.

    To be called before libraries start their threads: those with a heap of their own keep giving
    large blocks back. The process then holds its peak of memory until it ends.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # One heap, no blocks mapped apart from it, and its free end never given back.
    settings = ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)
