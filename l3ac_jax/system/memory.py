"""Memory that is freed stays with the process, instead of going back to the system each time.

XLA allocates its buffers on a CPU anew for every run of a program, gigabytes for a training step,
and the system clears each page that is touched for the first time. With the memory kept, the
network's forward and backward pass took 1.0 instead of 1.4 s on a virtual machine (3kbps, 2 clips
of 2 s, 300,000 page faults a step and then none). The first few runs are as slow as before: until
the buffers have found their places in the heap, it grows.

glibc looks for a place in lists of free pieces, which compilation makes long: in a process that
compiled a training step itself, this search took 17 % of the steps' time (perf, `small` with crops
of 0.96 s: 1.8 s a step, 9.5 GB; 1.25 s and 3.2 GB in a process that found the step compiled), which
is why experiments/train.py begins anew. A heap for each thread has no such lists, but gives large
blocks back: 7.6 s a step against 6.3 s in PyTorch (3kbps, 4 clips of 2 s; one heap, compiled
before: 4.7 s).
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
