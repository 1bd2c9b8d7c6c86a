"""The line about compiling appears while something is compiled, and only then."""

import jax
import pytest

from l3ac_jax.system import compilation
from l3ac_jax.system.compilation import (
    COMPILED,
    FOUND,
    REQUESTED,
    CompilationNotice,
    CompilationTime,
)


@pytest.fixture
def wait(monkeypatch):
    """Call it for the timers that run to end; no other time passes, on any machine."""
    running = []

    class Timer:
        def __init__(self, seconds, function):
            assert seconds == compilation.PATIENCE_SECONDS
            self.function = function

        def start(self):
            running.append(self)

        def cancel(self):
            if self in running:
                running.remove(self)

    def wait():
        while running:
            running.pop().function()

    monkeypatch.setattr(compilation.threading, "Timer", Timer)
    return wait


@pytest.fixture
def shown():
    return []


@pytest.fixture
def notice(shown, wait):
    notice = CompilationNotice(shown.append)
    yield notice
    notice.close()


def compiled() -> None:
    jax.monitoring.record_event_duration_secs(COMPILED, 0.0)


def test_a_long_compilation_shows_the_line_once(notice, shown, wait):
    notice("compiling")
    jax.monitoring.record_event(REQUESTED)
    assert shown == []
    wait()
    assert shown == ["compiling"]
    compiled()
    jax.monitoring.record_event(REQUESTED)
    wait()
    assert shown == ["compiling"]


@pytest.mark.parametrize("end", [compiled, lambda: jax.monitoring.record_event(FOUND)])
def test_what_is_quick_or_found_shows_nothing(notice, shown, wait, end):
    notice("compiling")
    jax.monitoring.record_event(REQUESTED)
    end()
    wait()
    assert shown == []


def test_a_program_found_first_does_not_hide_the_next_one(notice, shown, wait):
    notice("compiling")
    jax.monitoring.record_event(REQUESTED)
    jax.monitoring.record_event(FOUND)
    jax.monitoring.record_event(REQUESTED)
    wait()
    assert shown == ["compiling"]


def test_a_closed_notice_is_silent(shown, wait):
    notice = CompilationNotice(shown.append)
    notice("compiling")
    jax.monitoring.record_event(REQUESTED)
    notice.close()
    jax.monitoring.record_event(REQUESTED)
    wait()
    assert shown == []


def test_time_is_counted_for_programs_that_the_cache_did_not_have():
    record, duration = jax.monitoring.record_event, jax.monitoring.record_event_duration_secs
    with CompilationTime() as compiling:
        duration(COMPILED, 3.0)  # no cache
        record(REQUESTED)
        record(FOUND)
        duration(COMPILED, 5.0)
        assert compiling.seconds == 0
        record(REQUESTED)
        duration(COMPILED, 7.0)
        record(REQUESTED)
        duration(COMPILED, 11.0)
    record(REQUESTED)
    duration(COMPILED, 13.0)
    assert compiling.seconds == 18
