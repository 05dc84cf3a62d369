"""Ctrl-C that is held back comes later, and is not lost."""

import os
import signal
import threading

import pytest

from fastnn.system.interruption import held_back


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interruption_comes_at_the_end() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), held_back():
        press()
        done.append("the rest of the block")
    assert done


def test_several_presses_are_one() -> None:
    with pytest.raises(KeyboardInterrupt), held_back(), held_back():
        press()
        press()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_an_interruption_nothing_changes() -> None:
    with held_back():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(ZeroDivisionError), held_back():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_of_the_block_is_the_context_of_the_interruption() -> None:
    with pytest.raises(KeyboardInterrupt) as caught, held_back():
        press()
        raise ZeroDivisionError
    assert isinstance(caught.value.__context__, ZeroDivisionError)


def test_another_thread_and_an_ignored_signal_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def work() -> None:
        with held_back():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        work()
        with held_back():
            press()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert seen == [signal.default_int_handler, signal.SIG_IGN]
