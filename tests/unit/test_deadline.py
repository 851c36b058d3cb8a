import time

import pytest

from xmguard.deadline import Stop
from xmguard.errors import Cancelled, DeadlineExceeded


def test_without_a_deadline_nothing_stops():
    stop = Stop()
    stop.check()
    assert stop.remaining() is None


def test_a_cancelled_stop_raises():
    stop = Stop(60)
    stop.check()
    stop.cancel()
    with pytest.raises(Cancelled):
        stop.check()


def test_a_passed_deadline_raises():
    stop = Stop(0.01)
    time.sleep(0.02)
    assert stop.remaining() == 0.0
    with pytest.raises(DeadlineExceeded):
        stop.check()
