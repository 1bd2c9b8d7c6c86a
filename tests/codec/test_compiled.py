"""CompiledPrograms of a codec: each is compiled once, and announced once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from l3ac_jax.codec.compiled import CompiledPrograms


def test_of_two_threads_that_need_a_program_one_waits_for_the_other():
    programs, announced, never = CompiledPrograms(), [], threading.Event()
    calls: list[int] = []

    def compute() -> int:
        calls.append(1)
        if len(calls) == 1:
            never.wait(0.2)  # time for the other thread to come here, which it must not
            return len(calls)
        return 0

    with ThreadPoolExecutor(2) as threads:
        announce = lambda: announced.append(1)  # noqa: E731
        both = [threads.submit(programs.run, "encoder", announce, compute) for _ in range(2)]
    assert sorted(one.result() for one in both) == [0, 1]
    assert announced == [1]


def test_a_program_that_failed_is_not_compiled():
    programs = CompiledPrograms()

    def fail() -> None:
        raise MemoryError

    for _ in range(2):
        with pytest.raises(MemoryError):
            programs.run("encoder", lambda: None, fail)
        assert "encoder" not in programs
    programs.run("encoder", lambda: None, lambda: None)
    assert "encoder" in programs and "decoder" not in programs
