"""Names and numbers in the sentences that a person reads."""

import difflib
import re
from collections.abc import Iterable

UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def shown(text: str) -> str:
    """A file's name, or a message, as one line that can be printed and written anywhere.

    Control characters and line ends become \\t, \\n, \\xNN or \\uNNNN, and a byte of a name that is no UTF-8 (which
    Python holds as a surrogate) \\xNN: `printf '%b'` gives the name's bytes back. Given twice it changes nothing more.
    """

    def escaped(match: re.Match) -> str:
        code = ord(match[0])
        if 0xDC80 <= code <= 0xDCFF:
            return f"\\x{code - 0xDC00:02x}"
        return f"\\u{code:04x}" if code >= 0x80 else match[0].encode("unicode_escape").decode()

    return text if text.isprintable() else UNPRINTABLE.sub(escaped, text)


def counted(number: int, noun: str) -> str:
    """The number with its noun: 1 image, 2 images."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listing(values: dict[str, object], most: int = 12) -> str:
    """Names with what belongs to each, the first and the last alone where they are many."""
    items = [f"{shown(name)} {value}".rstrip() for name, value in values.items()]
    return ", ".join(items if len(items) <= most else [*items[: most - 2], "..", items[-1]])


def nearest(word: str, known: Iterable[str]) -> str:
    """" (did you mean NAME?)" for the most similar of the known names, "" where none is similar."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
