"""Starting processes for data."""

import os
import signal
import sys

import pytest

from l3ac_jax.data.workers import _quiet_start


@pytest.fixture
def interruptible():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interruption_waits_for_the_start_and_leaves_nothing_changed(interruptible):
    main = sys.modules["__main__"]
    started = False
    with pytest.raises(KeyboardInterrupt), _quiet_start():
        os.kill(os.getpid(), signal.SIGINT)
        started = True
    assert started
    assert sys.modules["__main__"] is main
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT, signal.SIGTERM}
