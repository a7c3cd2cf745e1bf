import itertools

import numpy as np
import pytest

from ssl_keras.views.pretext import permutations
from tests.runs import run_tool


def by_brute_force(chosen, tiles):
    """The largest sum of Hamming distances to `chosen` that another permutation has, and those that have it."""
    sums = {
        p: sum(sum(a != b for a, b in zip(p, q)) for q in chosen)
        for p in itertools.permutations(range(tiles))
        if p not in chosen
    }
    best = max(sums.values())
    return best, {p for p, value in sums.items() if value == best}


@pytest.mark.parametrize("seed", [0, 1])
def test_each_is_the_farthest_from_all_before_it(seed):
    """Algorithm 1, with four tiles: 24 permutations, every step solved by brute force."""
    found = [tuple(map(int, row)) for row in permutations.greedy(24, seed, tiles=4)]
    assert len(set(found)) == 24
    for count in range(1, 24):
        _, farthest = by_brute_force(found[:count], 4)
        assert found[count] in farthest


def test_distances_of_a_small_set_are_those_of_the_algorithm():
    found = permutations.greedy(5, tiles=4)
    pairs = [np.count_nonzero(a != b) for a, b in itertools.combinations(found, 2)]
    assert permutations.distances(found) == (pytest.approx(np.mean(pairs)), min(pairs))
    # Four permutations of four can differ everywhere; a fifth shares places with them, 4·4 in all with 4·4 - 4 left.
    assert permutations.distances(found[:4]) == (4.0, 4)
    total = 6 * 4 + by_brute_force([tuple(map(int, row)) for row in found[:4]], 4)[0]
    assert permutations.distances(found)[0] == pytest.approx(total / 10)


@pytest.mark.parametrize("count, mean", [(10, 8.80), (100, 8.08), (1000, 8.01)])
def test_shipped_sets(count, mean):
    """The paper's own sets of 100 and 1000 have mean distances of 8.08 and 8.00."""
    found = permutations.shipped(count)
    assert found.shape == (count, 9) and len(np.unique(found, axis=0)) == count
    np.testing.assert_array_equal(np.sort(found, axis=1), np.tile(np.arange(9), (count, 1)))
    assert permutations.distances(found)[0] == pytest.approx(mean, abs=0.005)
    assert permutations.distances(found)[1] >= 2


@pytest.mark.parametrize("count", [10, 100])
def test_shipped_sets_come_from_seed_0(count):
    np.testing.assert_array_equal(permutations.greedy(count), permutations.shipped(count))


def test_the_tool_writes_what_is_read(tmp_path):
    path = tmp_path / "five.txt"
    done = run_tool("make_permutations", "--count=5", "--seed=7", "--tiles=5", f"--output={path}", fresh=True)
    assert "mean 5.00, smallest 5" in done.stdout
    np.testing.assert_array_equal(permutations.read(path), permutations.greedy(5, 7, 5))
    for arguments, status in (
        (["--count=5"], 1),
        (["--count=25", "--tiles=4", f"--output={path}"], 1),
        (["--tiles=10"], 2),
    ):
        done = run_tool("make_permutations", *arguments, status=status)
        assert done.stderr.startswith("error:")


@pytest.mark.parametrize("text", ["0 1 2\n0 1 3\n", "0 1 2\n0 1 2\n", "", "0 1 2\n"])
def test_files_that_are_no_sets_are_refused(tmp_path, text):
    path = tmp_path / "set.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"set\.txt"):
        permutations.read(str(path))
    with pytest.raises(ValueError, match="10, 100, 1000"):
        permutations.shipped(11)
