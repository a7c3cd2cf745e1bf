"""Sets of permutations that differ from each other in as many places as possible, for the jigsaw task.

Noroozi and Favaro (2016, arXiv:1603.09246), Algorithm 1. The sets of 10, 100 and 1000 permutations of nine tiles that
lie beside this package's code are those of seed 0; `tools.make_permutations` writes them again, or others.
"""

import itertools
import os
import random

import numpy as np

from ssl_keras import files
from ssl_keras.errors import UserError

SHIPPED = (10, 100, 1000)
MOST_TILES = 9  # all permutations are held at once: 10! of them would take minutes
HEADER = "# permutations of tiles, by tools.make_permutations\n"
_FOLDER = os.path.join(os.path.dirname(__file__), "permutation_sets")


def greedy(count: int, seed: int = 0, tiles: int = 9) -> np.ndarray:
    """Chooses permutations one by one, each as far as can be from all those chosen before.

    The first is drawn uniformly; each next one has the largest sum (or mean: it is the same) of Hamming distances to
    the chosen ones. Among equals one is drawn, which keeps the smallest distance larger than taking the first does.

    Args:
        count: how many, at most tiles!.
        seed: of the draws.
        tiles: length of a permutation, 2 to 9.

    Returns:
        uint8 [count, tiles], no row twice.
    """
    if not 2 <= tiles <= MOST_TILES:
        raise UserError(f"tiles must be 2 to {MOST_TILES}, got {tiles}")
    pool = np.array(list(itertools.permutations(range(tiles))), np.uint8)
    if not 1 <= count <= len(pool):
        raise UserError(f"count must be 1 to {len(pool)}, the permutations of {tiles} tiles, got {count}")
    generator = random.Random(seed)  # its stream is the same in every version of Python
    distance = np.zeros(len(pool), np.int32)  # to all chosen ones together; negative for those themselves
    farthest, chosen = np.arange(len(pool)), []
    for _ in range(count):
        newest = farthest[generator.randrange(len(farthest))]
        chosen.append(newest)
        distance += np.count_nonzero(pool != pool[newest], axis=1).astype(np.int32)
        distance[newest] = np.iinfo(np.int32).min // 2
        farthest = np.flatnonzero(distance == distance.max())
    return pool[chosen]


def distances(permutations: np.ndarray) -> tuple[float, int]:
    """Mean and smallest Hamming distance between the members of a set, [count, tiles] with count of 2 or more."""
    different = [np.count_nonzero(permutations[i + 1 :] != row, axis=1) for i, row in enumerate(permutations[:-1])]
    different = np.concatenate(different)
    return float(different.mean()), int(different.min())


def shipped(count: int) -> np.ndarray:
    """The shipped set of 10, 100 or 1000 permutations of nine tiles: uint8 [count, 9]."""
    if count not in SHIPPED:
        known = ", ".join(map(str, SHIPPED))
        raise UserError(
            f"permutations must be one of {known}, the shipped sets, got {count}: "
            "write another by tools.make_permutations and name it by permutation_file"
        )
    return read(os.path.join(_FOLDER, f"{count}.txt"))


def is_list(path: str) -> bool:
    """Whether a file is a list that `text` made."""
    with open(path, "rb") as file:
        return file.read(len(HEADER)) == HEADER.encode()


def read(path: str) -> np.ndarray:
    """The permutations of a text file, a line of numbers from 0 for each: uint8 [count, tiles].

    Raises:
        UserError: a line that is no permutation of the first one's numbers, or one that is there twice.
    """
    with open(files.local(path), encoding="utf-8") as file:
        lines = [line.split() for line in file if line.strip() and not line.startswith("#")]
    expected = [str(i) for i in range(len(lines[0]))] if lines else []
    for line in lines:
        if sorted(line, key=lambda word: (len(word), word)) != expected:
            raise UserError(f"{path}: {' '.join(line)!r} is no permutation of 0 to {len(expected) - 1}")
    if len(lines) < 2 or len(set(map(tuple, lines))) < len(lines):
        raise UserError(f"{path} must hold two or more permutations, none of them twice")
    return np.array(lines, np.uint8)


def text(permutations: np.ndarray) -> str:
    """What `read` reads back."""
    return HEADER + "".join(" ".join(map(str, row)) + "\n" for row in permutations)
