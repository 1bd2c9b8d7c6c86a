"""What is compiled for long is told of while it is compiled, and only then."""

from time import monotonic

import jax
import pytest

from l3ac_jax.system import compilation
from l3ac_jax.system.compilation import (
    COMPILED,
    FOUND,
    REQUESTED,
    CompilationNotice,
    CompilationTime,
    CompilationWatch,
    keep_compiled_programs,
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


def compilation_begins(name: str = "program") -> None:
    jax.monitoring.record_scalar(COMPILED, 0.0, fun_name=f"jit({name})")


def compilation_ends(seconds: float = 0.0) -> None:
    jax.monitoring.record_event_duration_secs(COMPILED, seconds)


def test_a_long_compilation_shows_the_line_once_and_then_how_long_it_took(notice, shown, wait):
    notice("compiling")
    compilation_begins()
    assert shown == []
    wait()
    assert shown == ["compiling"]
    compilation_ends(3)
    assert shown == ["compiling", "compiled in 3 s"]
    compilation_begins()
    wait()
    compilation_ends(3)
    assert shown == ["compiling", "compiled in 3 s"]


def test_what_is_quick_shows_nothing_and_does_not_hide_the_next_one(notice, shown, wait):
    notice("compiling")
    compilation_begins()
    compilation_ends()
    wait()
    assert shown == []
    compilation_begins()
    wait()
    assert shown == ["compiling"]


def test_a_closed_notice_is_silent(shown, wait):
    notice = CompilationNotice(shown.append)
    notice("compiling")
    compilation_begins()
    notice.close()
    compilation_begins()
    wait()
    assert shown == []


def test_a_long_compilation_is_told_of_by_name_from_its_beginning(shown, wait):
    watch = CompilationWatch(lambda *what: shown.append(what), lambda *what: shown.append(what))
    with watch:
        compilation_begins("slow")
        wait()
        compilation_ends(0.2)
    (name, start), end = shown
    assert (name, end) == ("slow", ("slow", 0.2))
    assert start <= monotonic()


def test_jax_tells_when_the_compilation_of_a_function_begins_and_ends():
    """What the watch is built on: a scalar and a duration of one name, with the function's."""
    told = []

    def tell(event: str, value: float, fun_name: str = "", **_: str | int) -> None:
        if event == COMPILED:
            told.append(fun_name)

    jax.monitoring.register_scalar_listener(tell)
    jax.monitoring.register_event_duration_secs_listener(tell)
    try:
        jax.jit(_cubed).lower(1.0).compile()
    finally:
        jax.monitoring.unregister_scalar_listener(tell)
        jax.monitoring.unregister_event_duration_listener(tell)
    assert told == ["jit(_cubed)"] * 2


def _cubed(x):
    return x**3


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


def test_programs_are_kept_from_the_call_on(command_cache, monkeypatch, tmp_path):
    """Also where JAX has compiled before, and has found that it has no cache."""
    monkeypatch.setenv("L3AC_JAX_CACHE", str(tmp_path / "cache"))
    jax.jit(lambda x: x + 1)(1)
    folder = keep_compiled_programs()
    assert folder == tmp_path / "cache" / "compiled"
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.jit(lambda x: x + 2)(1)
    assert list(folder.iterdir())


def test_a_folder_that_jax_was_told_to_use_has_precedence(command_cache, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    assert keep_compiled_programs() == tmp_path
    assert jax.config.jax_compilation_cache_dir == str(tmp_path)
