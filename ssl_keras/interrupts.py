"""Being told to stop: a signal is noted, the step is finished, the state is saved, and the exit status says "again"."""

import signal
import threading

AGAIN = 75  # EX_TEMPFAIL of sysexits.h: not done, and the same command goes on


class Interrupted(Exception):
    """The run was told to stop, or lost a worker, and can go on."""


class Signals:
    """While it is entered, SIGTERM and SIGINT do not end the process but are noted in `received` (the name, or None).

    A second SIGINT interrupts at once: whoever presses Ctrl-C twice does not want to wait for a step.
    """

    NUMBERS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self):
        self.received: str | None = None

    def __enter__(self):
        # Python lets the main thread alone set handlers; elsewhere signals keep their meaning.
        self.numbers = self.NUMBERS if threading.current_thread() is threading.main_thread() else ()
        self.before = [signal.signal(number, self._note) for number in self.numbers]
        return self

    def __exit__(self, *error):
        for number, handler in zip(self.numbers, self.before, strict=True):
            signal.signal(number, handler)

    def _note(self, number, frame):
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name
