"""When parallel regions pause: a launcher's decisions on a clock that the tests set."""

from typing import Any

import numpy as np
import pytest

from fastnn.kernels import launches
from fastnn.kernels.launches import BALANCE, CREDIT, LONGEST, PAUSED_UNTIL, PAUSES, WORTH

NOTE: Any = getattr(launches.note_region, "py_func", launches.note_region)
IN_PAUSE: Any = getattr(launches.is_in_pause, "py_func", launches.is_in_pause)
NOTE_ALONE: Any = getattr(launches.note_alone, "py_func", launches.note_alone)


class Machine:
    """A launcher's state, and a clock that regions set forward."""

    def __init__(self) -> None:
        self.state, self.now = np.zeros(launches.SIZE), 1000.0

    def region(self, taken: float, own: float = 1.0, parts: int = 2) -> bool:
        """A region on threads that takes so many milliseconds, the calling thread's part among them; begins a pause?"""
        began, self.now = self.now, self.now + 1e-3 * taken
        NOTE(self.state, parts, began, began + 1e-3 * own, self.now)
        return bool(self.state[PAUSED_UNTIL] > self.now)

    def pause(self) -> float:
        """The length of the pause that has just begun, which is waited for."""
        length = float(self.state[PAUSED_UNTIL]) - self.now
        self.now = float(self.state[PAUSED_UNTIL])
        return length


def test_regions_that_gain_stay_on_threads() -> None:
    machine = Machine()
    assert not any(machine.region(taken) for taken in (1.0, 1.5, 1.99, 1.2) * 100)
    assert machine.state[PAUSES] == 0
    assert 0 < machine.state[BALANCE] <= CREDIT


def test_a_region_that_waits_for_a_processor_begins_a_pause_that_it_is_worth() -> None:
    machine = Machine()
    assert machine.region(5.0)  # one thread would have taken 2
    assert machine.pause() == pytest.approx(WORTH * 3e-3)


def test_each_failure_makes_the_pause_longer() -> None:
    machine = Machine()
    pauses = []
    for _ in range(12):
        assert machine.region(2.5)
        pauses.append(machine.pause())
    expected = [min(WORTH * 0.5e-3 * 2**i, LONGEST) for i in range(12)]
    assert pauses == pytest.approx(expected)


def test_earlier_gains_hide_little() -> None:
    machine = Machine()
    assert not any(machine.region(1.0) for _ in range(10))
    assert not machine.region(2.3)
    assert machine.region(3.2)


def test_after_a_long_time_on_threads_pauses_are_short_again() -> None:
    machine = Machine()
    for _ in range(8):
        machine.region(2.5)
        assert machine.pause() < 0.3
    assert not any(machine.region(1.0) for _ in range(2000))
    assert machine.region(5.0)
    assert machine.pause() == pytest.approx(WORTH * (3e-3 - CREDIT))


def test_pauses_stay_short_where_threads_gain_more_in_between_than_they_lose() -> None:
    """A process that takes 3 ms of each 50, as a daemon would."""
    machine = Machine()
    for _ in range(20):
        ends = machine.now + 50e-3
        while machine.now < ends:
            assert not machine.region(0.06, own=0.05)
        assert machine.region(3.05, own=0.05)
        assert machine.pause() == pytest.approx(WORTH * (2.95e-3 - CREDIT))


def test_gains_that_only_seem_so_make_no_pause_short() -> None:
    """The calling thread waits for a processor as often as the other one: each wait looks like a gain of its length."""
    machine, pauses = Machine(), []
    for _ in range(12):
        machine.region(3.0, own=3.0)
        assert machine.region(5.0, own=0.05)
        pauses.append(machine.pause())
    assert pauses[-1] == LONGEST


def test_small_losses_add_up() -> None:
    """Small regions whose threads have fallen asleep in between: each wakes them, and gains nothing."""
    machine = Machine()
    lost = [machine.region(0.05, own=0.005) for _ in range(3)]
    assert lost == [False, False, True]


def test_a_pause_for_sleeping_threads_ends_when_regions_follow_each_other() -> None:
    machine = Machine()
    for _ in range(8):
        machine.now += 5e-3  # in which the threads fall asleep
        if not IN_PAUSE(machine.state, machine.now):
            machine.region(0.5, own=0.1)
    assert machine.state[PAUSED_UNTIL] > machine.now + 7e-3
    began, pauses = machine.now, machine.state[PAUSES]
    while IN_PAUSE(machine.state, machine.now):
        machine.now += 1e-4
        NOTE_ALONE(machine.state, machine.now)
    assert machine.now - began == pytest.approx(launches.AWAKE * 1e-4, abs=5e-4)
    assert not any(machine.region(0.11, own=0.1) for _ in range(100))
    assert machine.state[PAUSES] == pauses


def test_a_pause_for_busy_processors_does_not() -> None:
    machine = Machine()
    assert not machine.region(0.11, own=0.1)
    assert machine.region(5.0)
    until = machine.state[PAUSED_UNTIL]
    while IN_PAUSE(machine.state, machine.now):
        machine.now += 1e-4
        NOTE_ALONE(machine.state, machine.now)
    assert machine.now == pytest.approx(until, abs=2e-4)


def test_parts_of_many_threads_count() -> None:
    machine = Machine()
    assert not machine.region(10.0, parts=16)
    assert machine.region(20.0, parts=16)


def test_a_slow_calling_thread_is_nobody_elses_fault() -> None:
    assert not Machine().region(10.0, own=9.9)


def test_threads_that_take_turns_on_one_processor_gain_nothing() -> None:
    """Each makes the other's part look as long as both."""
    machine = Machine()
    began, machine.now = machine.now, machine.now + 1e-3
    NOTE(machine.state, 2, began, -1.0, machine.now)
    assert machine.pause() == pytest.approx(WORTH * launches.SHARED * 1e-3)


def test_what_was_decided_is_described() -> None:
    machine = Machine()
    assert launches.described(machine.state) == "none measured yet"
    machine.region(1.0)
    assert launches.described(machine.state) == "1 on threads"
    machine.region(5.0)
    machine.state[launches.PAUSED] = 7.0
    lost = "threads lost 0.002 s to others that kept processors busy"
    assert launches.described(machine.state) == f"2 on threads, 7 on one (1 pauses, the last of 0.008 s): {lost}"
