"""Starting processes for data."""

import signal
import sys
import threading

import pytest

from l3ac_jax.system.processes import _quiet_start


@pytest.fixture
def interruptible():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt(started: list[bool]) -> None:
    with _quiet_start():
        # To this thread: the process may have others, which would take it at once.
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        started.append(True)


def test_an_interruption_waits_for_the_start_and_leaves_nothing_changed(interruptible):
    main, started = sys.modules["__main__"], []
    with pytest.raises(KeyboardInterrupt):
        interrupt(started)
    assert started
    assert sys.modules["__main__"] is main
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT, signal.SIGTERM}
