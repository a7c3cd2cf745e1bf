"""Reading with patience: a network's short failure costs a wait, not an image."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from absl import logging

WAITS = (0.1, 0.4, 1.6)
HOPELESS = (IsADirectoryError, PermissionError)


class PatientReader:
    """A source's `read`, tried again after growing waits where the operating system reports a failure.

    Network file systems fail for moments (EIO, ESTALE, timeouts), so any OSError is tried again. A missing file is one
    of them: a mount that drops out makes all its files missing. A file that is gone for good costs the waits once. A
    folder in a file's place and a forbidden file are given up at once.

    What was given up stays so, without another look: a file that comes back would change the batches of an epoch in
    its middle. After a file was given up, the others get one try each until one succeeds; so a file system that is
    gone altogether is told in seconds, and not after the waits of a million files.

    Args:
        read: i -> an image.
        describe: i -> what a person can find the image by.
        waits: seconds before the second try, the third, and so on.
    """

    def __init__(self, read: Callable[[int], Any], describe: Callable[[int], str], waits: Sequence[float] = WAITS):
        self._read, self._describe, self._waits = read, describe, waits
        self._given_up: dict[int, str] = {}
        self._in_outage = False

    def __call__(self, i: int):
        """Image i.

        Raises:
            OSError: it cannot be read; the message tells why and how often it was tried.
            Exception: whatever else `read` raises about the content, at once.
        """
        if i in self._given_up:
            raise OSError(self._given_up[i])
        waits = () if self._in_outage else self._waits
        for tries, wait in enumerate((*waits, None), 1):
            try:
                image = self._read(i)
            except OSError as error:
                if wait is None or isinstance(error, HOPELESS):
                    raise self._give_up(i, error, tries) from None
                if tries == 1:
                    logging.warning("%s: %s; trying again up to %d times", self._describe(i), error, len(waits))
                time.sleep(wait)
            else:
                self._in_outage = False
                return image

    @property
    def given_up(self) -> tuple[int, ...]:
        """The numbers of the images that could not be read."""
        return tuple(self._given_up)

    def _give_up(self, i: int, error: OSError, tries: int) -> OSError:
        self._in_outage = not isinstance(error, HOPELESS)
        reason = (str(error) or type(error).__name__).splitlines()[0]
        self._given_up[i] = f"{reason} (tried {tries} times)" if tries > 1 else reason
        return OSError(self._given_up[i])
