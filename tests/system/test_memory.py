import subprocess
import sys

import pytest

# Nothing else may run before it, so each measurement is a process of its own. Three buffers of
# 36 MB, which is more than glibc ever keeps of itself.
PROGRAM = """
import resource, sys
from l3ac_jax.system.memory import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit("not glibc")
import jax, jax.numpy as jnp
apart = jax.lax.optimization_barrier
step = jax.jit(lambda x: (apart(apart(apart(jnp.outer(x, x)) + 1).T * 2)).sum())
x = jnp.ones(3000)
def page_faults(runs):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(runs):
        step(x).block_until_ready()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
# The first runs are those in which the buffers find their places; how many that takes depends on
# the threads' order, and a system short of memory takes pages away in between.
print(min(page_faults(1) for _ in range(30)))
"""


def page_faults(mode: str) -> int:
    command = [sys.executable, "-c", PROGRAM, mode]
    result = subprocess.run(command, capture_output=True, text=True)
    if "not glibc" in result.stderr:
        pytest.skip("the C library is not glibc")
    assert result.returncode == 0, result.stderr
    return int(result.stdout)


def test_later_runs_of_a_program_find_their_memory_again():
    assert page_faults("keep") < page_faults("default") / 10
