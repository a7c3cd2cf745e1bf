"""How far a long piece of work is: a bar on a terminal, a line now and then elsewhere."""

import sys
import time

WIDTH = 24  # characters of a bar
REDRAWN = 0.5  # seconds between two drawings on a terminal
REPORTED = 60.0  # seconds between two lines elsewhere
CLEAR = "\r\033[K"


def bar(done: int, total: int) -> str:
    """`[=====     ] 5/10`."""
    return f"[{'=' * (WIDTH * done // max(total, 1)):<{WIDTH}}] {done}/{total}"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: `0:01:30`."""
    seconds = int(seconds)
    return f"{seconds // 3600}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}"


class Bar:
    """Shows how much of a known number of images is done, and the time left; gone again when all is done.

    Work that takes less than half a second on a terminal, a minute elsewhere, shows nothing.

    Args:
        what: the work, such as "reading images".
        total: images in all.
    """

    def __init__(self, what: str, total: int):
        self.what, self.total = what, total
        self.live = sys.stdout.isatty()
        self.began = self.shown = time.monotonic()
        self.drawn = False

    def show(self, done: int) -> None:
        """Says that so many are done by now."""
        done, now = min(done, self.total), time.monotonic()
        if done < 1 or now - self.shown < (REDRAWN if self.live else REPORTED):
            return
        self.shown = now
        left = (now - self.began) * (self.total - done) / done
        text = f"{self.what} {bar(done, self.total)}  {done / (now - self.began):.0f} images/s  {clock(left)} left"
        print(f"{CLEAR}{text} " if self.live else text, end="" if self.live else "\n", flush=True)
        self.drawn = self.live

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.drawn:
            print(CLEAR, end="", flush=True)
