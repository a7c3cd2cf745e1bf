"""No damaged file ends the process, takes long, or raises anything but that it is refused."""

import pytest

from tests.data.fuzz_decoders import HANG_SECONDS, fuzz
from tests.data.mutations import GROUPS, SEEDS, mutated

MOST_BYTES = 2 * 2**30


def check(result):
    assert (result.crashes, result.hangs, result.escaped) == ([], [], {})
    assert result.decoded + result.refused == result.count and min(result.decoded, result.refused) > 0
    assert result.longest_seconds < HANG_SECONDS and result.peak_bytes < MOST_BYTES


@pytest.mark.parametrize(("group", "count"), [("images", 500), ("measured", 100 * len(GROUPS["measured"]))])
def test_some_hundred_damaged_files(group, count):
    check(fuzz(group, count, seed=1))


@pytest.mark.slow
@pytest.mark.parametrize("form", list(SEEDS))
def test_twenty_thousand_of_each_format(form):
    check(fuzz(form, 20_000))


def test_a_mutation_is_found_again_by_its_number():
    files = [mutated(form, 0, number) for form in SEEDS for number in range(20)]
    assert files == [mutated(form, 0, number) for form in SEEDS for number in range(20)]
    assert len(set(files)) > 12 * len(SEEDS)
