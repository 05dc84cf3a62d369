"""Whether a parallel region runs on threads, decided by what the regions before it took.

On a machine with other work, a region ends when its last thread has found a processor: 100 x 784-50-10 beside two
endless loops took 1.2 ms a step on two threads and 0.3 on one; on an idle machine, 0.13 and 0.21. No constant tells one
from the other, but each region tells what it gained: one thread would have taken as many times the calling thread's own
part as there are parts. What regions lose against that is added up, and what they gain is set against it. Once too much
is lost there is a *pause*: regions are computed by the calling thread alone until a time when threads are tried again,
and each failure makes the pause longer.

All of it happens where regions are launched (units.launcher), so also within a compiled run of many steps. Results do
not depend on it, as their bits do not depend on the number of parts.
"""

from typing import Any

from fastnn.kernels.compile import kernel

# A table of float64, at the end of a launcher's; times are seconds of its clock.
PAUSED_UNTIL, PAUSE, BALANCE, LOST, ON_THREADS, PAUSED, PAUSES, ENDED, IN_A_ROW, SLEPT, PAID = range(11)
SIZE = 11

CREDIT = 1e-3  # of all earlier gains no more counts, as the machine may just have become busy
TOLERATED = 100e-6  # seconds lost beyond that before there is a pause
# A pause lasts so many times the loss; after a pause without such a time on threads, twice as long as that one, unless
# threads have gained more since than they lost. Beside a process that takes 5 ms of each 100, the steps of a run of
# 784-50-10 had 44 % of their regions on one thread, and have 28 %. No more than TOLERATED counts as the gain of a
# region, which may only seem large, where the calling thread itself had to wait.
WORTH = 4.0
LONGEST = 1.0
# Threads that had nothing to do for so long may sleep. A pause that began because they had to be woken ends after so
# many regions without such a gap: after steps 5 ms apart, steps in a run stayed on one thread for a second.
ASLEEP, AWAKE = 0.5e-3, 64.0
SHARED = 0.25  # of a region is lost where two of its threads take turns on one processor: 100 x 784-50-10 took 350 us


@kernel
def is_in_pause(state: Any, began: float) -> bool:
    """Whether a region that begins now is one for the calling thread alone; see `note_region`."""
    state[IN_A_ROW] = 0.0 if began - state[ENDED] > ASLEEP else state[IN_A_ROW] + 1.0
    if began < state[PAUSED_UNTIL] and state[SLEPT] != 0.0 and state[IN_A_ROW] > AWAKE:
        state[PAUSED_UNTIL], state[PAUSE] = began, 0.0
    return bool(began < state[PAUSED_UNTIL])


@kernel
def note_alone(state: Any, ended: float) -> None:
    """Count a region of a pause."""
    state[PAUSED] += 1.0
    state[ENDED] = ended


@kernel
def note_region(state: Any, parts: int, began: float, own_ended: float, ended: float) -> None:
    """Count a region on threads in which the calling thread's own part took from `began` to `own_ended`.

    state: (SIZE,), see PAUSED_UNTIL and the rest. It becomes later than `ended` if too much was lost.
    own_ended: -1 where threads shared a processor, so that the own part took longer than by itself.
    """
    taken = ended - began
    gained = -SHARED * taken if own_ended < 0.0 else parts * (own_ended - began) - taken
    balance = min(state[BALANCE] + gained, CREDIT)
    slept = began - state[ENDED] > ASLEEP
    state[ENDED] = ended
    state[ON_THREADS] += 1.0
    state[PAID] += min(gained, TOLERATED)
    state[BALANCE] = balance
    if balance >= -TOLERATED:
        return
    is_again = ended - state[PAUSED_UNTIL] < WORTH * state[PAUSE] and state[PAID] < 0.0
    state[PAUSE] = min(max(WORTH * -balance, 2.0 * state[PAUSE] if is_again else 0.0), LONGEST)
    state[PAUSED_UNTIL] = ended + state[PAUSE]
    state[PAUSES] += 1.0
    state[SLEPT] = 1.0 if slept else 0.0
    state[LOST] -= balance
    state[BALANCE] = state[PAID] = 0.0


def described(state: Any) -> str:
    """How many regions ran on threads and how many did not, and why."""
    on_threads, alone, pauses = (int(state[place]) for place in (ON_THREADS, PAUSED, PAUSES))
    if not on_threads:
        return "none measured yet"
    said = f"{on_threads} on threads"
    if pauses:
        said += f", {alone} on one ({pauses} pauses, the last of {state[PAUSE]:.3f} s): "
        said += f"threads lost {state[LOST]:.3f} s to others that kept processors busy"
    return said
