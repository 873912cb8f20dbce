"""One signal is one KeyboardInterrupt, wherever it arrives."""

from __future__ import annotations

import signal

import pytest

from tflbuild import interrupts


@pytest.fixture(autouse=True)
def listening(monkeypatch):
    """Listens for the time of one test."""
    monkeypatch.setattr(interrupts, "_interrupted", False)
    kept = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    interrupts.listen()
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


class Finalized:
    """Python prints what is raised here, and goes on."""

    def __del__(self):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_a_signal_interrupts_and_a_second_does_not(number):
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    signal.raise_signal(number)


def test_nothing_came():
    interrupts.check()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_whose_exception_went_unseen_is_found():
    Finalized()
    with pytest.raises(KeyboardInterrupt):
        interrupts.check()
