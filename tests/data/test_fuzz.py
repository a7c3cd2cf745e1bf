"""No damaged image ends the process, takes long, or raises anything but that it is refused."""

import pytest

from tests.data.fuzz_decoders import EVERY, HANG_SECONDS, fuzz, mutated
from tests.data.seeds import SEEDS

MOST_BYTES = 3 * 2**30


def check(result):
    assert (result.crashes, result.hangs, result.escaped) == ([], [], {})
    assert result.decoded + result.refused == result.mutations and min(result.decoded, result.refused) > 0
    assert result.longest_seconds < HANG_SECONDS and result.peak_bytes < MOST_BYTES


def test_a_thousand_damaged_files():
    check(fuzz(EVERY, 1000, seed=1))


@pytest.mark.slow
@pytest.mark.parametrize("form", list(SEEDS))
def test_twenty_thousand_of_each_format(form):
    check(fuzz(form, 20_000))


def test_a_mutation_is_found_again_by_its_number():
    files = [mutated(form, 0, number) for form in SEEDS for number in range(20)]
    assert files == [mutated(form, 0, number) for form in SEEDS for number in range(20)]
    assert len(set(files)) > 80
