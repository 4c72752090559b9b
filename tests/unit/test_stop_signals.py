"""Signals to `queryfleet up`."""

from __future__ import annotations

import signal

import pytest

from cluster.stop_signals import StartInterrupted, StopSignals, kept_signal_handlers


@pytest.fixture(autouse=True)
def _own_handlers():
    """Leave the test run's own handlers as they were."""
    with kept_signal_handlers():
        yield


def _start(stop, work):
    with stop.breaking_off():
        work()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_during_start_breaks_it_off(number):
    """A start does not run to its end when it is no longer wanted."""
    stop = StopSignals()
    went_on = []
    with pytest.raises(StartInterrupted):
        _start(stop, lambda: (signal.raise_signal(number), went_on.append(True)))
    assert went_on == []
    assert stop.asked.is_set()


def test_signal_that_a_library_turns_into_an_error_breaks_off_all_the_same():
    """What it is raised in may have an error of its own for everything."""
    stop = StopSignals()

    def work():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise ValueError from error

    with pytest.raises(StartInterrupted):
        _start(stop, work)


def test_error_without_a_signal_stays_what_it_is():
    """A start that fails says why."""
    stop = StopSignals()

    def work():
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - the very one
        _start(stop, work)


def test_signal_before_start_prevents_it():
    """What came before the block counts too."""
    stop = StopSignals()
    signal.raise_signal(signal.SIGTERM)
    began = []
    with pytest.raises(StartInterrupted):
        _start(stop, lambda: began.append(True))
    assert began == []


def test_signal_after_start_is_only_remembered():
    """A running service is stopped by whoever waits for the event."""
    stop = StopSignals()
    _start(stop, lambda: None)
    signal.raise_signal(signal.SIGINT)
    assert stop.asked.is_set()


def test_second_signal_does_not_break_off_the_way_down():
    """Impatience leaves nothing half stopped."""
    stop = StopSignals()
    cleaned = []

    def interrupted():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            cleaned.append(True)

    with pytest.raises(StartInterrupted):
        _start(stop, interrupted)
    assert cleaned == [True]


def test_kept_handlers_are_back_after_somebody_took_them():
    """A library that puts its own handler in place does not keep it."""
    stop = StopSignals()
    with kept_signal_handlers():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.raise_signal(signal.SIGTERM)
    assert stop.asked.is_set()
