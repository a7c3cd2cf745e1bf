"""The processes that this one has started."""

import os
from pathlib import Path


def children() -> dict[int, str]:
    """State of each, by its id: "Z" is one that has ended and was not waited for."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == os.getpid():
            found[int(stat.parent.name)] = state
    return found
