"""Which requests are taken to break workers: what the rule says, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from xmguard.errors import EngineError, ErrorCode, Reason
from xmguard_server.workers.suspects import MOST, SECONDS, Asked, Suspects

ONE, TWO, THREE = (Asked("Answer", body) for body in (b"one", b"two", b"three"))


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def suspects(clock: Clock) -> Suspects:
    return Suspects(clock)


def refused(suspects: Suspects, asked: Asked) -> bool:
    try:
        suspects.refuse(asked)
    except EngineError as error:
        return (error.code, error.reason) == (ErrorCode.FAILED_PRECONDITION, Reason.ENGINE_FAILED)
    return False


def losses_until_refused(suspects: Suspects, *working: Asked) -> int:
    count = 0
    while not refused(suspects, working[0]):
        suspects.lost(working)
        count += 1
    return count


def test_one_that_is_alone_is_refused_from_the_second_loss_on_and_no_other(suspects: Suspects) -> None:
    assert losses_until_refused(suspects, ONE) == 2
    assert not refused(suspects, TWO)


def test_of_several_none_is_blamed_alone_and_the_same_one_asked_twice_is_one(suspects: Suspects) -> None:
    assert losses_until_refused(suspects, ONE, TWO) == 4
    assert losses_until_refused(suspects, THREE, THREE) == 2


def test_who_is_answered_is_cleared_while_what_breaks_workers_stays(suspects: Suspects) -> None:
    for innocent in (ONE, TWO):
        suspects.lost([innocent, THREE])
        suspects.lost([innocent, THREE])
        suspects.answered(innocent)
    suspects.lost([ONE])
    assert (refused(suspects, ONE), refused(suspects, TWO), refused(suspects, THREE)) == (False, False, True)


def test_a_check_that_is_answered_does_not_clear_an_answer(suspects: Suspects) -> None:
    suspects.lost([ONE])
    suspects.answered(replace(ONE, method="Check"))
    suspects.lost([ONE])
    assert refused(suspects, ONE)
    assert not refused(suspects, replace(ONE, method="Check"))


def test_it_is_tried_again_some_time_after_the_last_loss(suspects: Suspects, clock: Clock) -> None:
    suspects.lost([ONE])
    clock.seconds += SECONDS - 1
    suspects.lost([ONE])
    clock.seconds += SECONDS - 1
    with pytest.raises(EngineError, match="refused for 1 s") as caught:
        suspects.refuse(ONE)
    assert caught.value.retry_after == pytest.approx(1)
    clock.seconds += 1
    assert losses_until_refused(suspects, ONE) == 2


def test_only_so_many_are_remembered_and_nothing_of_what_they_ask(suspects: Suspects) -> None:
    suspects.lost([ONE])
    suspects.lost([TWO])
    suspects.lost([ONE])
    for number in range(MOST - 1):
        suspects.lost([Asked("Answer", b"%d" % number)])
    assert refused(suspects, ONE)
    suspects.lost([TWO])
    assert not refused(suspects, ONE)
    assert not refused(suspects, TWO)
    assert b"two" not in repr(vars(suspects)).encode()
