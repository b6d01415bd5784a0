"""Ctrl-C: once lets running trainings end and saves, twice stops at once."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

from mnas.arch import MnasError


class SearchInterruptedError(MnasError):
    """Somebody asked the search to stop; everything finished is saved."""

    exit_code = 130


class StopRequest:
    """Whether somebody asked to stop, by Ctrl-C."""

    def __init__(self) -> None:
        self.is_requested = False
        self._drains = False

    @contextlib.contextmanager
    def draining(self) -> Iterator[None]:
        """While this is open the first Ctrl-C is only noted; elsewhere it interrupts at once."""
        self._drains = True
        try:
            yield
        finally:
            self._drains = False

    @contextlib.contextmanager
    def listening(self, told: Callable[[], None]) -> Iterator[None]:
        """Take Ctrl-C from Python for a while; in another thread than the main one, do nothing.

        Args:
            told: Called when the first Ctrl-C was noted.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: object) -> None:
            if self.is_requested or not self._drains:
                raise KeyboardInterrupt
            self.is_requested = True
            told()

        before = signal.signal(signal.SIGINT, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
