"""The line in front of the engine, and the rate of one visitor."""

from __future__ import annotations

import threading
import time

import pytest

from assistant.serving.limits import FIRST_GUESS_SECONDS, BusyError, Gate, VisitorRate


def test_places_run_first_come_first_served():
    gate = Gate(concurrent=2, queue=3)
    places = [gate.join() for _ in range(5)]
    assert [place.running for place in places] == [True, True, False, False, False]
    assert [place.ahead for place in places] == [0, 0, 0, 1, 2]
    assert gate.load == (2, 3)
    places[1].leave()
    assert [place.running for place in places] == [True, False, True, False, False]
    assert [place.ahead for place in places[3:]] == [0, 1]
    assert gate.load == (2, 2)


def test_a_full_line_refuses_and_says_how_long():
    gate = Gate(concurrent=1, queue=1)
    gate.join()
    waiting = gate.join()
    with pytest.raises(BusyError) as refused:
        gate.join()
    assert refused.value.retry_after == 2 * FIRST_GUESS_SECONDS
    assert "1 wait already" in refused.value.message.en
    assert "20 s" in refused.value.message.en
    assert "20 秒" in refused.value.message.zh
    waiting.leave()
    assert gate.join().ahead == 0


def test_no_line_at_all_still_lets_the_running_run():
    gate = Gate(concurrent=1, queue=0)
    place = gate.join()
    with pytest.raises(BusyError):
        gate.join()
    place.leave()
    assert gate.join().running


def test_who_gives_up_waiting_frees_the_line():
    gate = Gate(concurrent=1, queue=2)
    gate.join()
    first, second = gate.join(), gate.join()
    first.leave()
    assert second.ahead == 0
    assert gate.load == (1, 1)


def test_leaving_twice_is_harmless():
    gate = Gate(concurrent=1, queue=1)
    running, waiting = gate.join(), gate.join()
    running.leave()
    running.leave()
    assert waiting.running
    assert gate.load == (1, 0)
    waiting.leave()
    waiting.leave()
    assert gate.load == (0, 0)


def test_the_expected_wait_follows_how_long_answers_take():
    gate = Gate(concurrent=2, queue=9)
    for seconds in (4.0, 8.0):
        gate.join().leave(answered_in=seconds)
    running = [gate.join(), gate.join()]
    waiting = [gate.join() for _ in range(3)]
    assert [place.expected_wait for place in running] == [0, 0]
    assert [place.expected_wait for place in waiting] == [3, 6, 9]


def test_giving_up_teaches_nothing():
    gate = Gate(concurrent=1, queue=1)
    gate.join().leave()
    gate.join()
    assert gate.join().expected_wait == FIRST_GUESS_SECONDS


def test_many_threads_never_run_more_than_allowed():
    gate = Gate(concurrent=3, queue=100)
    seen: list[int] = []

    def visit() -> None:
        place = gate.join()
        while not place.running:
            time.sleep(0.001)
        seen.append(gate.load[0])
        place.leave(answered_in=0.001)

    threads = [threading.Thread(target=visit) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(seen) == 40
    assert max(seen) <= 3
    assert gate.load == (0, 0)


def test_the_rate_is_each_visitors_own_and_says_when_to_go_on():
    rate = VisitorRate(messages_per_minute=2)
    rate.check("one")
    rate.check("one")
    with pytest.raises(BusyError) as refused:
        rate.check("one")
    assert 1 <= refused.value.retry_after <= 60
    assert "Go on in" in refused.value.message.en
    rate.check("another")
